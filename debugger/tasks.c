/* Lists the tasks of a Linux guest, and the registers of those that wait. */
#include "debugger/tasks.h"

#include "debugger/kernel.h"
#include "debugger/processes.h"
#include "debugger/session.h"

enum { MAX_TASKS = 32768, NAME_SIZE = 16 };

/* Where things are in the kernel's structures. */
struct layout {
    struct debugger *debugger;
    struct module *kernel;
    uint64_t tasks, node, pid, name, space, signal, head, on_cpu;
};

static bool find_layout(struct debugger *debugger, struct layout *layout)
{
    struct module *kernel = session_look(debugger, NULL) == 0 ? follow_kernel(debugger) : NULL;
    *layout = (struct layout){.debugger = debugger, .kernel = kernel};
    if (!kernel || kernel->away || !kernel->dwarf)
        return false;
    /* A kernel for one processor has no on_cpu. */
    if (!kernel_member(kernel, "task_struct", "on_cpu", &layout->on_cpu, NULL))
        layout->on_cpu = 0;
    return kernel_member(kernel, "task_struct", "tasks", &layout->tasks, NULL) &&
           kernel_member(kernel, "task_struct", "thread_node", &layout->node, NULL) &&
           kernel_member(kernel, "task_struct", "pid", &layout->pid, NULL) &&
           kernel_member(kernel, "task_struct", "comm", &layout->name, NULL) &&
           kernel_member(kernel, "task_struct", "mm", &layout->space, NULL) &&
           kernel_member(kernel, "task_struct", "signal", &layout->signal, NULL) &&
           kernel_member(kernel, "signal_struct", "thread_head", &layout->head, NULL);
}

static bool describe(const struct layout *layout, uint64_t address, struct task *task)
{
    const struct view *view = &layout->debugger->view;
    uint64_t pid, on_cpu = 0;
    *task = (struct task){.address = address};
    if (!view_read_number(view, address + layout->pid, 4, &pid) ||
        !view_read_number(view, address + layout->space, 8, &task->space) ||
        !view_read(view, address + layout->name, task->name, NAME_SIZE) ||
        (layout->on_cpu && !view_read_number(view, address + layout->on_cpu, 4, &on_cpu)))
        return false;
    task->name[NAME_SIZE - 1] = '\0';
    task->pid = (unsigned)pid;
    task->on_cpu = on_cpu != 0;
    return true;
}

struct walk {
    struct layout layout;
    bool (*visit)(void *context, const struct task *task);
    void *context;
    unsigned count;
};

/* The threads of one program; true: enough. */
static bool walk_threads(struct walk *walk, uint64_t leader)
{
    const struct layout *layout = &walk->layout;
    const struct view *view = &layout->debugger->view;
    uint64_t signal, at;
    if (!view_read_number(view, leader + layout->signal, 8, &signal))
        return true;
    at = signal + layout->head;
    while (view_read_number(view, at, 8, &at) && at != signal + layout->head) {
        struct task task;
        if (walk->count++ == MAX_TASKS || !describe(layout, at - layout->node, &task) ||
            walk->visit(walk->context, &task))
            return true;
    }
    return false;
}

bool tasks_each(
    struct debugger *debugger, bool (*visit)(void *context, const struct task *task), void *context)
{
    struct walk walk = {.visit = visit, .context = context};
    uint64_t first, at;
    if (!find_layout(debugger, &walk.layout) ||
        !kernel_variable(walk.layout.kernel, &debugger->view, "init_task", &first))
        return false;
    at = first;
    for (unsigned i = 0; i < MAX_TASKS; i++) {
        if (!view_read_number(&debugger->view, at + walk.layout.tasks, 8, &at))
            break;
        at -= walk.layout.tasks;
        if (at == first || walk_threads(&walk, at))
            break;
    }
    return true;
}

struct search {
    unsigned pid;
    struct task *task;
    bool found;
};

static bool is_wanted(void *context, const struct task *task)
{
    struct search *search = context;
    search->found = task->pid == search->pid;
    if (search->found)
        *search->task = *task;
    return search->found;
}

bool tasks_find(struct debugger *debugger, unsigned pid, struct task *task)
{
    struct search search = {.pid = pid, .task = task};
    return tasks_each(debugger, is_wanted, &search) && search.found;
}

bool tasks_current(struct debugger *debugger, struct task *task)
{
    struct layout layout;
    struct process process;
    return find_layout(debugger, &layout) && processes_current(debugger, &process) &&
           describe(&layout, process.task, task);
}

/* What __switch_to_asm pushed on the task's stack. */
static bool read_kept(struct module *kernel, uint64_t at, struct view *view)
{
    static const struct {
        const char *name;
        unsigned number;
    } kept[] = {{"r15", R15}, {"r14", R14}, {"r13", R13}, {"r12", R12}, {"bx", RBX}, {"bp", RBP}};
    static const char frame[] = "inactive_task_frame";
    uint64_t size;
    for (unsigned i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (!kernel_read(kernel, view, at, frame, kept[i].name, &view->state.gpr[kept[i].number]))
            return false;
    }
    view->state.gpr[RSP] = at;
    if (!kernel_read(kernel, view, at, frame, "ret_addr", &view->state.rip) ||
        !kernel_member(kernel, frame, "ret_addr", &size, NULL))
        return false;
    view->state.gpr[RSP] += size + 8;
    return true;
}

bool tasks_view(struct debugger *debugger, const struct task *task, struct view *view)
{
    struct module *kernel = session_look(debugger, NULL) == 0 ? follow_kernel(debugger) : NULL;
    uint64_t stack;
    if (!kernel || kernel->away)
        return false;
    if (!task->space || !processes_view(debugger, task->space, view))
        *view = debugger->view;
    return kernel_read(kernel, view, task->address, "task_struct", "thread.sp", &stack) &&
           read_kept(kernel, stack, view);
}
