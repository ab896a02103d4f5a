/* Programs in the guest. */
#include "debugger/follow.h"

#include "debugger/session.h"

void processes_follow(struct debugger *debugger, struct module *kernel, uint64_t *signature)
{
    (void)debugger;
    (void)kernel;
    (void)signature;
}

int processes_check(struct debugger *debugger, const struct module *module, struct error *error)
{
    (void)debugger;
    (void)module;
    (void)error;
    return 0;
}

uint64_t processes_space(struct debugger *debugger)
{
    (void)debugger;
    return 0;
}
