/* Starts CPython, runs code in it, and tells what went wrong. */
#include "debugger/python/objects.h"
#include "debugger/python/python.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/hostfile.h"

enum { MAX_SCRIPT = 16 << 20, MAX_TRACEBACK_LINES = 12 };

/* CPython's own state is the process's; so is this. */
static struct interpreter {
    bool started;
    PyObject *globals; /* of __main__ */
    PyObject *module;  /* hindsight */
    PyObject *failure; /* hindsight.error */
    struct debugger *_Atomic current;
    uint64_t sessions;
} interpreter;

/* What of the module is shorter in Python. */
static const char prelude[] =
    "import collections, re, signal, sys\n"
    "class Position(collections.namedtuple('Position', 'event insn')):\n"
    "    'A place in the run: EVENT.INSN.'\n"
    "    __slots__ = ()\n"
    "    def __str__(self):\n"
    "        return f'{self.event}.{self.insn}'\n"
    "Symbol = collections.namedtuple('Symbol', 'name address size is_function')\n"
    "Field = collections.namedtuple('Field', 'name type bitpos bitsize is_base_class')\n"
    "pretty_printers = []\n"
    "def pretty_printer(pattern):\n"
    "    'Decorates a class that shows the values whose type has a name that matches.'\n"
    "    matches = re.compile(pattern).fullmatch\n"
    "    def register(printer):\n"
    "        pretty_printers.append(\n"
    "            lambda value: printer(value) if matches(value.type.name) else None)\n"
    "        return printer\n"
    "    return register\n"
    "class _Output:\n"
    "    encoding, errors = 'utf-8', 'replace'\n"
    "    def write(self, text):\n"
    "        write(text)\n"
    "        return len(text)\n"
    "    def writelines(self, lines):\n"
    "        for line in lines:\n"
    "            write(line)\n"
    "    def flush(self):\n"
    "        flush()\n"
    "    def isatty(self):\n"
    "        return False\n"
    "sys.stdout = sys.stderr = _Output()\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n";

bool python_available(void)
{
    return true;
}

/* ---- Starting -------------------------------------------------------------------------------- */

/*
 * Isolated: no environment variables, nothing of the user's own, no folder of the moment in the
 * search path. The library's place is given, since CPython would look for a `python3` in PATH,
 * which may be another one. Signals stay the front end's, and no file is written beside a module.
 */
static PyStatus initialize(void)
{
    PyPreConfig before;
    PyConfig config;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
#ifdef __SANITIZE_ADDRESS__
    /* LeakSanitizer does not look for pointers in CPython's own arenas: what the interpreter keeps
     * would be reported as lost. */
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
#endif
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return status;
    PyConfig_InitIsolatedConfig(&config);
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    status = PyConfig_SetBytesString(&config, &config.home, HINDSIGHT_PYTHON);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

static bool prepare(void)
{
    PyObject *main = PyImport_AddModule("__main__");
    interpreter.module = PyImport_ImportModule("hindsight");
    if (!main || !interpreter.module)
        return false;
    interpreter.globals = PyModule_GetDict(main);
    interpreter.failure = PyObject_GetAttrString(interpreter.module, "error");
    PyObject *own = PyModule_GetDict(interpreter.module);
    PyObject *done = PyRun_String(prelude, Py_file_input, own, own);
    Py_XDECREF(done);
    return done && PyDict_SetItemString(interpreter.globals, "hindsight", interpreter.module) == 0;
}

/* Python's handler is set where Python looks for it alone: the process keeps its own. */
static int start(struct error *error)
{
    struct sigaction action;
    if (interpreter.started)
        return 0;
    if (!Py_IsInitialized()) {
        if (PyImport_AppendInittab("hindsight", python_module) < 0)
            return error_set(error, "out of memory");
        PyStatus status = initialize();
        if (PyStatus_Exception(status))
            return error_set(error, "Python does not start: %s",
                status.err_msg ? status.err_msg : "no reason is given");
    }
    sigaction(SIGINT, NULL, &action);
    interpreter.started = prepare();
    sigaction(SIGINT, &action, NULL);
    if (interpreter.started)
        return 0;
    PyErr_Clear();
    return error_set(
        error, "Python does not start: its library at %s/lib is not whole", HINDSIGHT_PYTHON);
}

/* ---- Which debugger -------------------------------------------------------------------------- */

struct debugger *python_debugger(void)
{
    struct debugger *debugger = atomic_load(&interpreter.current);
    if (!debugger)
        PyErr_SetString(interpreter.failure, "no debugger executes a command now");
    return debugger;
}

struct debugger *python_mover(void)
{
    struct debugger *debugger = python_debugger();
    if (!debugger || PyErr_CheckSignals() < 0)
        return NULL;
    if (debugger->asking) {
        PyErr_SetString(interpreter.failure, "a script that is asked by a run, or how to show a "
                                             "value, may only look");
        return NULL;
    }
    atomic_store(&debugger->interrupted, false);
    return debugger;
}

struct python_origin python_origin(const struct debugger *debugger)
{
    return (struct python_origin){debugger->python_session, debugger->symbols.removals};
}

struct debugger *python_debugger_of(const struct python_origin *origin)
{
    struct debugger *debugger = python_debugger();
    if (!debugger)
        return NULL;
    if (origin->session == debugger->python_session &&
        origin->removals == debugger->symbols.removals)
        return debugger;
    PyErr_SetString(interpreter.failure, "it is of another session, or of a symbol file that is no "
                                         "longer used");
    return NULL;
}

PyObject *python_class(const char *name)
{
    return PyDict_GetItemString(PyModule_GetDict(interpreter.module), name);
}

void python_interrupt(const struct debugger *debugger)
{
    if (debugger == atomic_load(&interpreter.current))
        PyErr_SetInterrupt();
}

/* ---- What went wrong ------------------------------------------------------------------------- */

PyObject *python_fail(const struct error *error)
{
    if (!PyErr_Occurred() && PyErr_CheckSignals() == 0)
        PyErr_SetString(interpreter.failure, error->text);
    return NULL;
}

/* As traceback.format_exception() has it, in one string; NULL with an exception. */
static PyObject *describe(PyObject *exception)
{
    PyObject *module = PyImport_ImportModule("traceback");
    PyObject *lines =
        module ? PyObject_CallMethod(module, "format_exception", "O", exception) : NULL;
    PyObject *none = lines ? PyUnicode_FromString("") : NULL;
    PyObject *text = none ? PyUnicode_Join(none, lines) : NULL;
    Py_XDECREF(none);
    Py_XDECREF(lines);
    Py_XDECREF(module);
    return text;
}

static const char *line_before(const char *text, const char *at)
{
    if (at == text)
        return NULL;
    for (at--; at > text && at[-1] != '\n'; at--)
        ;
    return at;
}

/* The last line is the error; those before it are printed, without what called whom long before. */
static int tell(struct debugger *debugger, const char *text, struct error *error)
{
    size_t length = strlen(text);
    while (length && text[length - 1] == '\n')
        length--;
    const char *last = text + length;
    while (last > text && last[-1] != '\n')
        last--;
    const char *first = last;
    for (unsigned i = 0; i < MAX_TRACEBACK_LINES && first != text; i++)
        first = line_before(text, first);
    if (first != text)
        print(debugger, "...\n");
    print(debugger, "%.*s", (int)(last - first), first);
    return error_set(error, "%.*s", (int)(text + length - last), last);
}

/* sys.exit() ends a script, not the debugger. */
static bool is_exit(PyObject *type, PyObject *exception)
{
    if (!PyErr_GivenExceptionMatches(type, PyExc_SystemExit))
        return false;
    PyObject *code = PyObject_GetAttrString(exception, "code");
    bool good = code && (code == Py_None || PyObject_Not(code) == 1);
    Py_XDECREF(code);
    return good;
}

int python_say(struct error *error)
{
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    PyObject *text = exception ? PyObject_Str(exception) : NULL;
    const char *reason = text ? PyUnicode_AsUTF8(text) : NULL;
    if (PyErr_GivenExceptionMatches(type, PyExc_KeyboardInterrupt))
        error_set(error, "Interrupted.");
    else
        error_set(error, "%s: %s", type ? ((PyTypeObject *)type)->tp_name : "an exception",
            reason ? reason : "it cannot be shown");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return -1;
}

/* Takes the exception. */
static int take_exception(struct debugger *debugger, struct error *error)
{
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback)
        PyException_SetTraceback(exception, traceback);
    int result;
    if (is_exit(type, exception)) {
        result = 0;
    } else if (PyErr_GivenExceptionMatches(type, PyExc_KeyboardInterrupt)) {
        result = error_set(error, "Interrupted.");
    } else {
        PyObject *described = describe(exception);
        const char *text = described ? PyUnicode_AsUTF8(described) : NULL;
        result = tell(debugger, text ? text : "a Python exception that cannot be shown", error);
        Py_XDECREF(described);
    }
    PyErr_Clear();
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return result;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* An interrupt of what was executed before is none of this one. */
static struct debugger *enter(struct debugger *debugger)
{
    if (!debugger->python_session)
        debugger->python_session = ++interpreter.sessions;
    if (!atomic_load(&interpreter.current) && PyErr_CheckSignals() < 0)
        PyErr_Clear();
    return atomic_exchange(&interpreter.current, debugger);
}

struct debugger *python_enter(struct debugger *debugger)
{
    debugger->asking++;
    return enter(debugger);
}

void python_leave(struct debugger *debugger, struct debugger *outer)
{
    atomic_store(&interpreter.current, outer);
    debugger->asking--;
}

bool python_shows(const struct debugger *debugger)
{
    if (!debugger->python_session || !interpreter.started)
        return false;
    PyObject *printers = python_class("pretty_printers");
    Py_ssize_t count = printers ? PyObject_Size(printers) : 0;
    PyErr_Clear(); /* what has no size is no list: that is said when it is asked */
    return count != 0;
}

static int run(struct debugger *debugger, const char *code, const char *name, struct error *error)
{
    if (start(error) < 0)
        return -1;
    struct debugger *outer = enter(debugger);
    PyObject *compiled = Py_CompileString(code, name, Py_file_input);
    PyObject *done =
        compiled ? PyEval_EvalCode(compiled, interpreter.globals, interpreter.globals) : NULL;
    int result = done ? 0 : take_exception(debugger, error);
    Py_XDECREF(done);
    Py_XDECREF(compiled);
    atomic_store(&interpreter.current, outer);
    return result;
}

int python_run(struct debugger *debugger, const char *code, struct error *error)
{
    return run(debugger, code, "<python>", error);
}

int python_source(struct debugger *debugger, const char *path, struct error *error)
{
    struct buffer code = {0};
    FILE *file = hostfile_open(path, error);
    if (!file)
        return -1;
    char piece[4096];
    size_t size;
    while ((size = fread(piece, 1, sizeof piece, file)) > 0 && code.size <= MAX_SCRIPT)
        buffer_put(&code, piece, size);
    int result = ferror(file) ? error_set_errno(error, "%s", path) : 0;
    fclose(file);
    buffer_put_u8(&code, 0);
    if (result == 0 && code.failed)
        result = error_set(error, "out of memory");
    if (result == 0 && (code.size > MAX_SCRIPT || strlen((char *)code.data) + 1 != code.size))
        result = error_set(error, "%s is no script: it is too large, or no text", path);
    if (result == 0)
        result = run(debugger, (const char *)code.data, path, error);
    buffer_free(&code);
    return result;
}
