/* The page of `hindsight report` as it is installed in the program: cli/report_page.html with the
 * words @DATA@ and @SCRIPT@ in it once each, and cli/report_page.js for the latter. */
#ifndef CLI_REPORT_PAGE_H
#define CLI_REPORT_PAGE_H

extern const char report_page_html[], report_page_js[];

#endif
