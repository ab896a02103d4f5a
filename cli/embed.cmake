# Writes OUTPUT: C source of an array NAME with the bytes of the file INPUT, and a 0.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "/* ${INPUT} */\n#include \"cli/report_page.h\"\n\nconst char ${NAME}[] = {\n${bytes}0};\n")
