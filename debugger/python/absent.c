/* In the place of Python where the build has none. */
#include "debugger/python/python.h"

#include "base/error.h"

bool python_available(void)
{
    return false;
}

int python_run(struct debugger *debugger, const char *code, struct error *error)
{
    (void)debugger;
    (void)code;
    return error_set(
        error, "built without libpython3: install libpython3-dev, and build hindsight again");
}

int python_source(struct debugger *debugger, const char *path, struct error *error)
{
    (void)path;
    return python_run(debugger, "", error);
}

int python_stops(struct debugger *debugger, void *object, bool *stops, struct error *error)
{
    (void)object;
    (void)stops;
    return python_run(debugger, "", error);
}

void python_let_go(void *object)
{
    (void)object;
}

bool python_shows(const struct debugger *debugger)
{
    (void)debugger;
    return false;
}

int python_show(void *context, struct printer *printer, const struct value *value)
{
    (void)context;
    (void)printer;
    (void)value;
    return 0;
}

void python_interrupt(const struct debugger *debugger)
{
    (void)debugger;
}
