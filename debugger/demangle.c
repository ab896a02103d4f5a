/* Demangling by libiberty, as far as it was there when this was built. */
#include "debugger/demangle.h"

#include <stddef.h>

#ifdef HINDSIGHT_DEMANGLER
#include <demangle.h>
#endif

bool demangle_is_mangled(const char *name)
{
    return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

#ifdef HINDSIGHT_DEMANGLER

bool demangle_available(void)
{
    return true;
}

char *demangle(const char *name, bool parameters)
{
    if (!demangle_is_mangled(name))
        return NULL;
    /* Legacy names of Rust are C++'s with a hash: asked about first. */
    char *text = rust_demangle(name, DMGL_NO_OPTS);
    if (!text && name[1] == 'Z')
        text = cplus_demangle_v3(name, DMGL_ANSI | (parameters ? DMGL_PARAMS : DMGL_NO_OPTS));
    return text;
}

#else

bool demangle_available(void)
{
    return false;
}

char *demangle(const char *name, bool parameters)
{
    (void)name;
    (void)parameters;
    return NULL;
}

#endif
