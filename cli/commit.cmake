# Writes the header that says which commit this is, "" outside a clone; only when it is another.
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(commit)
    set(commit " (${commit})")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define HINDSIGHT_COMMIT \"${commit}\"\n")
