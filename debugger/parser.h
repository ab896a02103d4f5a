/* The parser of expressions, shared by the files that make it up (expression.c, primary.c). */
#ifndef DEBUGGER_PARSER_H
#define DEBUGGER_PARSER_H

#include "debugger/expression.h"

enum { MAX_NAME = 512 };

struct parser {
    const struct expression_scope *scope;
    const char *at;
    struct error *error;
    unsigned nesting;
    unsigned skipping; /* inside an operand that does not count: && || ?: */
};

/* Functions that return int return -1 and the parser's error. */
int parser_expression(struct parser *parser, struct value *value);
/* A number, name, register or what is in parentheses. */
int parser_primary(struct parser *parser, struct value *value);
/* A member of what is at `of`; of C++, of its bases; of Rust's enumerations, of the variant. */
int parser_member(
    struct parser *parser, const struct value *of, const char *name, struct value *value);

void parser_skip_space(struct parser *parser);
/* Moves past the token when it is next. */
bool parser_accept(struct parser *parser, const char *token);
int parser_expect(struct parser *parser, const char *token);
/* An identifier into name[MAX_NAME]; "" where none begins. */
void parser_name(struct parser *parser, char *name);
/* The operand's number; 0 where it does not count. */
int parser_scalar(struct parser *parser, const struct value *value, uint64_t *bits);
/* What a reference refers to, in its place. */
int parser_settle(struct parser *parser, struct value *value);

#endif
