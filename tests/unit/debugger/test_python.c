/* Python in the debugger. What a script says is checked by the script, and by the commands. */
#include "tests/unit/debugger/session.h"

#include <signal.h>

#include "debugger/python/python.h"

/* Executes lines as a person types them. */
static void type(const char *const *lines)
{
    for (; *lines; lines++)
        run(*lines);
}

static void holds(const char *condition)
{
    char line[512];
    snprintf(line, sizeof line, "python assert %s", condition);
    run(line);
}

static void test_code_is_executed_and_its_output_is_the_debuggers(void **state)
{
    (void)state;
    prints("python print(6 * 7)", "42\n");
    prints("py import sys; print('to stderr', file=sys.stderr)", "to stderr\n");
    /* What is defined stays. */
    run("python kept = 5");
    prints("python print(kept + 1)", "6\n");
    run("python import sys; sys.exit()");
    refuses("python sys.exit(3)", "SystemExit: 3");
    prints("python print('\\x1b[31m')", "\\x1b[31m");
}

static void test_blocks_keep_their_indentation(void **state)
{
    static const char *const lines[] = {"python",
        "def twice(n):", "    if n:", "        return 2 * n", "", "    return 'nothing'",
        "print('not yet')", NULL};
    char prompt[64];
    (void)state;
    type(lines);
    debugger_prompt(debugger, prompt, sizeof prompt);
    assert_string_equal(prompt, ">");
    assert_true(debugger_collects(debugger));
    prints("  end ", "not yet\n");
    assert_false(debugger_collects(debugger));
    prints("python print(twice(4), twice(0))", "8 nothing\n");
}

static void test_a_block_among_a_breakpoints_commands(void **state)
{
    static const char *const lines[] = {"break handle_pit", "commands 1", "silent", "python",
        "for part in range(2):", "    print('part', part)", "end", "echo after", "end", NULL};
    (void)state;
    type(lines);
    prints("continue", "part 0\npart 1\nafter\n");
    prints("continue", "part 0\npart 1\nafter\n");
}

static void test_exceptions_are_errors(void **state)
{
    (void)state;
    refuses("python 1 / 0", "ZeroDivisionError: division by zero");
    refuses("python def", "SyntaxError");
    refuses("python hindsight.execute('nonsense')", "hindsight.error: 'nonsense' is not a command");
    run("python\n"
        "try:\n"
        "    hindsight.parse_and_eval('no_such_thing')\n"
        "except hindsight.error as error:\n"
        "    caught = str(error)\n");
    prints("python print(caught)", "no symbol 'no_such_thing' here");
    run("python\ndef deep(n): return deep(n - 1) if n else undefined\n");
    refuses("python deep(100)", "NameError: name 'undefined' is not defined");
}

static void test_commands_are_executed(void **state)
{
    (void)state;
    prints("python hindsight.execute('print 1 + 1')", "$1 = 2\n");
    /* Captured, and not shown. */
    const char *text = run("python said = hindsight.execute('print 3\\nprint 4', to_string=True)");
    assert_string_equal(text, "");
    holds("said == '$2 = 3\\n$3 = 4\\n', said");
    refuses("python hindsight.execute('print 5\\nprint nonsense', True)", "no symbol 'nonsense'");
    prints("print 6", "$5 = 6");
    run("python hindsight.execute('python hindsight.execute(\"set $deep = 7\")')");
    holds("hindsight.parse_and_eval('$deep') == 7");
}

static void test_values(void **state)
{
    (void)state;
    go_to_handler();
    run("python frame = hindsight.parse_and_eval('frame')");
    holds("frame.type.code == 'pointer' and frame.type.sizeof == 8");
    holds("str(frame.type.target()) == 'struct interrupt_frame'");
    holds("frame['vector'] == 32 and frame.dereference()['vector'] == 32");
    holds("int(frame.dereference()['vector'].address) == int(frame) + "
          "[f for f in frame.type.target().fields() if f.name == 'vector'][0].bitpos // 8");
    holds("int(frame + 1) - int(frame) == frame.type.target().sizeof");
    holds("(frame + 3) - frame == 3 and frame + 1 > frame and not frame + 1 == frame");
    holds("int(hindsight.Value(7) / 2) == 3 and float(hindsight.Value(7.0) / 2) == 3.5");
    holds("int(-hindsight.Value(1)) == -1 and bool(hindsight.Value(0)) is False");
    holds("int(hindsight.Value(2 ** 64 - 1)) == 2 ** 64 - 1");
    holds("hex(hindsight.parse_and_eval('(unsigned char)255') + 1) == '0x100'");
    holds("hindsight.Value(10).format_string(format='x') == '0xa'");
    holds("frame.cast(hindsight.lookup_type('long').pointer()).dereference() == "
          "hindsight.parse_and_eval('*(long *)frame')");
    holds("hindsight.parse_and_eval('$rip').address is None");
    refuses("python frame['no_such']", "has no member 'no_such'");
    refuses("python frame['vector + 1']", "KeyError");
    refuses("python frame + 'text'", "TypeError");
    refuses("python hindsight.parse_and_eval('*(int *)0xffff800000000000') + 1", "not mapped");
    refuses("python hindsight.Value(2 ** 70)", "OverflowError");
    refuses("python frame.type.fields()", "it has no members");
}

static void test_every_operator_is_the_programs(void **state)
{
    (void)state;
    run("python seven, two = hindsight.Value(7), hindsight.Value(2)");
    holds("[int(n) for n in (seven + two, seven - 2, 7 * two, seven / two, seven % two, "
          "seven // two)] == [9, 5, 14, 3, 1, 3]");
    holds("[int(n) for n in (seven & 3, seven | 8, 6 ^ two, seven << 1, seven >> two, -seven, "
          "~two)] == [3, 15, 4, 14, 1, -7, -3]");
    holds("seven > two and two < 7 and seven >= 7 and seven <= 7 and seven == 7 and seven != two");
    holds("not hindsight.Value(0.0) and float(hindsight.Value(1) / 4.0) == 0.25");
    holds("hindsight.Value(seven) == 7 and repr(seven) == str(seven) == '7'");
    refuses("python hindsight.Value('seven')", "a Value is made of a number");
    refuses("python seven < 'two'", "TypeError");
    refuses("python hash(seven)", "unhashable");
    refuses("python seven / 0", "by zero");
    refuses("python hindsight.Value(2 ** 64)", "OverflowError");
    refuses("python seven.format_string(format='q')", "a format is one letter of");
    refuses("python hindsight.parse_and_eval(3)", "TypeError");
}

static void test_text_arrays_and_casts(void **state)
{
    (void)state;
    go_to_handler();
    holds("hindsight.parse_and_eval('free_list.name').string() == 'free'");
    holds("hindsight.parse_and_eval('free_list')['name'].string() == 'free'");
    run("python nodes = hindsight.parse_and_eval('nodes')");
    holds("nodes.type.code == 'array' and nodes.type.range() == (0, 31)");
    holds("nodes.type.target().sizeof * 32 == nodes.type.sizeof");
    holds("int(nodes[3].address) - int(nodes[0].address) == 3 * nodes.type.target().sizeof");
    holds("[field.name for field in nodes.type.target().fields()] == ['next', 'owner', 'value']");
    holds("nodes[0]['owner'].type.code == 'enum' and not nodes.is_optimized_out");
    run("python number = hindsight.parse_and_eval('free_list.name').cast("
        "hindsight.lookup_type('unsigned long'))");
    holds("number == hindsight.parse_and_eval('(long)free_list.name')");
    holds("hindsight.lookup_type('struct node').name == 'struct node'");
    holds("repr(hindsight.lookup_type('char').pointer()) == 'char *'");
    refuses("python hindsight.Value(1 << 47).cast(hindsight.lookup_type('char').pointer())."
            "string()",
        "is not mapped here");
    refuses("python nodes.cast('int')", "it is no hindsight.Type");
    refuses("python hindsight.lookup_type('struct nobody')", "there is no type 'struct nobody'");
    refuses("python hindsight.lookup_type(3)", "TypeError");
    refuses("python hindsight.lookup_type('int').target()", "it is of no other type");
    refuses("python hindsight.lookup_type('int').range()", "it is no array");
}

static void test_what_is_asked_of_the_module_wrongly_is_refused(void **state)
{
    (void)state;
    refuses("python hindsight.execute()", "TypeError");
    refuses("python hindsight.write(3)", "TypeError");
    refuses("python hindsight.seek()", "TypeError");
    refuses("python hindsight.read_memory('here', 1)", "TypeError");
    refuses("python hindsight.read_register(3)", "TypeError");
    refuses("python hindsight.lookup_symbol(3)", "TypeError");
    refuses("python hindsight.symbol_at('here')", "TypeError");
    refuses("python hindsight.query(3)", "TypeError");
    refuses("python hindsight.query('irqs', limit='many')", "TypeError");
    refuses("python hindsight.query('irqs', begin='nowhere')", "is not a position");
    refuses("python hindsight.newest_frame().read_var(3)", "TypeError");
    refuses("python hindsight.newest_frame().read_register('nothing')", "nothing");
    refuses("python hindsight.Frame()", "TypeError");
    prints("python import sys; sys.stdout.writelines(['one', 'two\\n']); sys.stdout.flush()",
        "onetwo\n");
}

static void test_memory_registers_and_symbols(void **state)
{
    (void)state;
    go_to_handler();
    /* A breakpoint of a function is after what sets up its frame. */
    holds(
        "0 <= hindsight.read_register('rip') - hindsight.lookup_symbol('handle_pit').address < 16");
    holds("hindsight.symbol_at(hindsight.read_register('pc') + 1).name == 'handle_pit'");
    holds("hindsight.lookup_symbol('handle_pit').is_function");
    holds("hindsight.lookup_symbol('nobody') is None and hindsight.symbol_at(3) is None");
    holds("int.from_bytes(hindsight.read_memory(hindsight.parse_and_eval('&ticks'), 8), 'little') "
          "== hindsight.parse_and_eval('ticks')");
    /* The guest maps memory where it is. */
    holds("hindsight.read_memory(0x100000, 5000) == "
          "hindsight.read_memory(0x100000, 5000, physical=True)");
    holds("hindsight.read_memory(0x100000, 0) == b''");
    refuses("python hindsight.read_memory(0xffff800000000000, 1)", "is not mapped here");
    refuses("python hindsight.read_memory(1 << 50, 1, physical=True)", "is not memory here");
    refuses("python hindsight.read_memory(0, -1)", "can be read at once");
    refuses("python hindsight.read_memory(0, 1 << 40)", "can be read at once");
    refuses("python hindsight.read_register('nothing')", "there is no register 'nothing'");
}

static void test_places_in_time(void **state)
{
    (void)state;
    holds("hindsight.position() == hindsight.begin() and hindsight.instructions() == 0");
    holds("str(hindsight.seek('50%')) == str(hindsight.position())");
    run("python half, instructions, now = "
        "hindsight.position(), hindsight.instructions(), hindsight.time()");
    holds("hindsight.begin() < half < hindsight.end() and instructions > 0 and now > 0");
    run("python hindsight.seek(hindsight.end())");
    assert_true(timeline_at_end(debugger_timeline(debugger)));
    run("python hindsight.seek(half)");
    holds("(hindsight.instructions(), hindsight.time()) == (instructions, now)");
    refuses("python hindsight.seek('yesterday')", "is not a position");
}

static void test_frames_are_those_of_the_backtrace(void **state)
{
    (void)state;
    go_to_handler();
    run("python\n"
        "frame, names = hindsight.newest_frame(), []\n"
        "while frame:\n"
        "    names.append(frame.name())\n"
        "    frame = frame.older()\n"
        "shown = hindsight.execute('backtrace', to_string=True)\n"
        "assert names[0] == 'handle_pit' and names.index('guest_main') > 1, names\n"
        "assert [name for name in names if name not in shown] == [], (names, shown)\n"
        "frame = hindsight.newest_frame()\n"
        "assert frame.source()[0].endswith('crash.c') and frame.level() == 0\n"
        "assert frame.pc() == hindsight.read_register('rip')\n"
        "assert frame.read_var('frame')['vector'] == 32\n"
        "assert frame.older().read_register('rsp') > frame.read_register('rsp')\n");
    run("stepi");
    refuses("python frame.name()", "the frame is of another position");
    run("up");
    holds("hindsight.selected_frame().level() == 1");
}

static void test_questions_have_the_rows_that_json_has(void **state)
{
    (void)state;
    run("python\n"
        "import json\n"
        "for question in ('calls handle_pit', 'writes ticks', 'irqs', 'when ticks == 3'):\n"
        "    rows = hindsight.query(question, limit=50)\n"
        "    told = json.loads(hindsight.execute(f'query -json -limit 50 {question}', True))\n"
        "    assert len(rows) == len(told['rows']) > 0, question\n"
        "    assert rows.ended == told['covered']['ended'], question\n"
        "    assert str(rows.end) == told['covered']['to'], question\n"
        "    assert rows.instructions == told['covered']['instructions'], question\n"
        "    for row, other in zip(rows, told['rows']):\n"
        "        for name, value in other.items():\n"
        "            own = row[name]\n"
        "            if isinstance(value, str) and value.startswith('0x') and name != "
        "'arguments':\n"
        "                own = hex(own) if isinstance(own, int) else own\n"
        "            assert (str(own) if isinstance(value, str) else own) == value, (row, "
        "other)\n");
    run("python rows = hindsight.query('calls handle_pit')");
    run("python part = hindsight.query('calls handle_pit', begin=rows[2]['position'], "
        "end=rows[5]['position'])");
    holds(
        "[row['position'] for row in part] == [row['position'] for row in rows][2:5], list(part)");
    holds("hindsight.position() == hindsight.begin()");
    holds("rows[-1] == rows[len(rows) - 1]");
    refuses("python rows[len(rows)]", "IndexError");
    run("python both = hindsight.query('calls guest_main handle_pit')");
    holds("len(both) == len(rows) + 1 and [row for row in both if row['function'] == 'handle_pit'] "
          "== list(rows)");
    refuses("python hindsight.query('calls guest_main nobody')", "no function 'nobody'");
    refuses("python hindsight.query('nonsense')", "query: ask for calls");
    refuses("python hindsight.query('calls nobody')", "no function 'nobody'");
}

/* ---- Breakpoints ----------------------------------------------------------------------------- */

static void test_a_breakpoints_class_decides_where_to_stop(void **state)
{
    (void)state;
    run("python\n"
        "class Third(hindsight.Breakpoint):\n"
        "    'Stops at every third call.'\n"
        "    calls = 0\n"
        "    def stop(self):\n"
        "        assert hindsight.newest_frame().name() == 'handle_pit'\n"
        "        self.calls += 1\n"
        "        return self.calls % 3 == 0\n"
        "third = Third('handle_pit')\n");
    prints("info breakpoints", "handle_pit");
    prints("continue", "Breakpoint 1, ");
    holds("int(hindsight.parse_and_eval('ticks')) == 2 and third.calls == 3");
    prints("continue", "Breakpoint 1, ");
    holds("int(hindsight.parse_and_eval('ticks')) == 5 and third.hit_count == 2");
    holds("hindsight.breakpoints() == (third,) and third.number == 1 and third.is_valid()");
    /* With a condition it is asked where that holds. */
    run("python third.condition, third.calls = 'ticks == 7', 2");
    run("continue");
    holds("int(hindsight.parse_and_eval('ticks')) == 7 and third.condition == 'ticks == 7'");
    run("python third.condition = None");
    holds("third.condition is None and third.location == 'handle_pit' and not third.temporary");
    run("python third.hit_count = 0; third.enabled = False; third.ignore_count = 2");
    holds("third.hit_count == 0 and not third.enabled and third.ignore_count == 2");
    prints("info breakpoints", " keep n ");
    prints("continue", "The end of the trace");
    run("python third.delete()");
    holds("not third.is_valid() and hindsight.breakpoints() == ()");
    refuses("python third.enabled", "breakpoint 1 is deleted");
    prints("info breakpoints", "No breakpoints");
}

static void test_watchpoints_ask_about_changes_in_both_directions(void **state)
{
    (void)state;
    run("python\n"
        "class Until(hindsight.Breakpoint):\n"
        "    def stop(self):\n"
        "        return hindsight.parse_and_eval('ticks') == self.wanted\n"
        "ticks = Until('ticks', type=hindsight.BP_WATCHPOINT)\n"
        "ticks.wanted = 6\n");
    prints("continue", "New value = 6");
    const struct position six = here();
    run("seek end");
    prints("reverse-continue", "Watchpoint 1: ticks");
    assert_true(position_compare(here(), six) <= 0);
    run("delete 1");
    holds("not ticks.is_valid()");
    run("python hindsight.Breakpoint('ticks', hindsight.BP_WATCHPOINT, hindsight.WP_READ)");
    run("python hindsight.Breakpoint('ticks', hindsight.BP_WATCHPOINT, hindsight.WP_ACCESS)");
    run("python hindsight.Breakpoint('handle_pit', temporary=True)");
    holds("[b.temporary for b in hindsight.breakpoints()] == [False, False, True]");
    refuses("python hindsight.Breakpoint('ticks', 3)", "BP_WATCHPOINT with a wp_class");
    refuses("python hindsight.Breakpoint('nobody')", "nobody");
    refuses("python hindsight.breakpoints()[0].__init__('ticks')", "it is a breakpoint already");
    refuses("python hindsight.breakpoints()[0].hit_count = 3", "can be set to 0 alone");
    refuses("python hindsight.breakpoints()[0].condition = 3", "TypeError");
    refuses("python hindsight.breakpoints()[0].ignore_count = -1", "OverflowError");
    refuses("python del hindsight.breakpoints()[0].enabled", "cannot be deleted");
    refuses("python del hindsight.breakpoints()[0].hit_count", "cannot be deleted");
}

static void test_a_script_that_a_run_asks_may_only_look(void **state)
{
    (void)state;
    run("python\n"
        "class Restless(hindsight.Breakpoint):\n"
        "    def stop(self):\n"
        "        self.refused = []\n"
        "        for move in (lambda: hindsight.seek('start'), self.delete,\n"
        "                     lambda: hindsight.execute('stepi'),\n"
        "                     lambda: hindsight.query('irqs'),\n"
        "                     lambda: hindsight.Breakpoint('guest_main')):\n"
        "            try:\n"
        "                move()\n"
        "            except hindsight.error as error:\n"
        "                self.refused.append('may only look' in str(error))\n"
        "        print('asked at', hindsight.position())\n"
        "        self.enabled = False\n"
        "        return False\n"
        "restless = Restless('handle_pit')\n");
    prints("continue", "asked at ");
    holds("restless.refused == [True] * 5");
    assert_true(timeline_at_end(debugger_timeline(debugger)));
    run("python\n"
        "class Broken(hindsight.Breakpoint):\n"
        "    def stop(self):\n"
        "        return nothing\n"
        "broken = Broken('handle_pit')\n");
    run("seek start");
    prints("continue", "cannot be told: NameError: name 'nothing' is not defined");
    assert_false(timeline_at_end(debugger_timeline(debugger)));
    /* Commands still move. */
    run("python hindsight.seek('start')");
}

/* ---- Pretty-printers ------------------------------------------------------------------------- */

static void add_printers(void)
{
    run("python\n"
        "@hindsight.pretty_printer(r'struct list')\n"
        "class ListPrinter:\n"
        "    def __init__(self, value):\n"
        "        self.value = value\n"
        "    def to_string(self):\n"
        "        return 'list ' + self.value['name'].string()\n"
        "    def children(self):\n"
        "        node, number = self.value['head'], 0\n"
        "        while node and number < 2:\n"
        "            yield str(number), node.dereference()\n"
        "            node, number = node['next'], number + 1\n"
        "    def display_hint(self):\n"
        "        return 'array'\n"
        "@hindsight.pretty_printer(r'struct node')\n"
        "class NodePrinter:\n"
        "    def __init__(self, value):\n"
        "        self.value = value\n"
        "    def to_string(self):\n"
        "        return f'node of {self.value[\"owner\"]}'\n");
}

static void test_printers_show_values_and_what_is_in_them(void **state)
{
    (void)state;
    go_to_handler();
    const char *plain = run("print free_list");
    assert_non_null(strstr(plain, "head = "));
    add_printers();
    prints("print free_list", "= list free {node of FREE, node of FREE}\n");
    prints("print nodes", "node of FREE");
    prints("print/r free_list", "head = ");
    prints("print/x free_list", "= list free {node of ");
    holds("str(hindsight.parse_and_eval('free_list')).startswith('list free')");
    holds("'head = ' in hindsight.parse_and_eval('free_list').format_string(raw=True)");
    prints("display free_list", "1: free_list = list free {");
    run("undisplay 1");
    run("set print pretty on");
    prints("print free_list", "= list free {\n  node of FREE,\n  node of FREE\n}\n");
    /* What no printer takes is as ever, and what is in it is not. */
    run("set print pretty off");
    prints("print 3", "= 3\n");
    prints("print nodes[1].value", "= 0\n");
    run("python hindsight.pretty_printers.clear()");
    prints("print free_list", "head = ");
}

static void test_printers_may_give_maps_strings_and_values(void **state)
{
    (void)state;
    go_to_handler();
    run("python\n"
        "class Shown:\n"
        "    def __init__(self, text, children, hint):\n"
        "        self.text, self.all, self.hint = text, children, hint\n"
        "    def to_string(self):\n"
        "        return self.text\n"
        "    def children(self):\n"
        "        return self.all and iter(self.all)\n"
        "    def display_hint(self):\n"
        "        return self.hint\n"
        "def show(value):\n"
        "    return shown if value.type.name == 'struct list' else None\n"
        "hindsight.pretty_printers.append(show)\n"
        "pairs = [('', 'one'), ('', 1), ('', 'two'), ('', hindsight.parse_and_eval('ticks'))]\n"
        "shown = Shown(None, pairs, 'map')\n");
    prints("print free_list", "= {[\"one\"] = 1, [\"two\"] = 0}\n");
    run("python shown = Shown('of two', [('a', 1), ('b', 2.5)], None)");
    prints("print free_list", "= of two {a = 1, b = 2.5}\n");
    run("python shown = Shown('a \"text\"', None, 'string')");
    prints("print free_list", "= \"a \\\"text\\\"\"\n");
    run("python shown = Shown(hindsight.parse_and_eval('ticks'), None, None)");
    prints("print free_list", "= 0\n");
    run("python shown = Shown('many', [('', n) for n in range(300)], 'array')");
    prints("print free_list", "198, 199...}\n");
    run("python shown = Shown('bad', [3], None)");
    refuses("print free_list", "TypeError: a child is a pair of its name and its value");
    run("python shown = Shown(None, [('a', hindsight.parse_and_eval('*(int *)0xffff800000000000'))]"
        ", None)");
    refuses("print free_list", "not mapped");
    /* One that shows itself by what it is to show. */
    run("python shown = Shown(hindsight.parse_and_eval('free_list'), None, None)");
    refuses("print free_list", "ask each other without end");
    run("python\ndef show(value): return undefined\nhindsight.pretty_printers = [show]\n");
    refuses("print free_list", "NameError: name 'undefined' is not defined");
    run("python\ndef show(value): hindsight.seek('start')\nhindsight.pretty_printers = [show]\n");
    refuses("print free_list", "may only look");
    run("python hindsight.pretty_printers = 3");
    refuses("print free_list", "is no list of functions");
    run("python hindsight.pretty_printers = []");
    prints("print free_list", "head = ");
}

static void test_printers_show_arguments_and_locals(void **state)
{
    (void)state;
    go_to_handler();
    run("python\n"
        "class Pointer:\n"
        "    def __init__(self, value):\n"
        "        self.value = value\n"
        "    def to_string(self):\n"
        "        return f'of vector {self.value[\"vector\"]}'\n"
        "    def children(self):\n"
        "        return iter([('vector', self.value['vector'])])\n"
        "hindsight.pretty_printers.append(\n"
        "    lambda v: Pointer(v) if v.type.name == 'struct interrupt_frame *' else None)\n");
    prints("backtrace", "handle_pit (frame=of vector 32) at");
    prints("info args", "frame = of vector 32 {vector = 32}\n");
    run("python Pointer.to_string = lambda self: None");
    prints("backtrace", "handle_pit (frame={...}) at");
    run("python Pointer.to_string = lambda self: undefined");
    prints("backtrace", "handle_pit (frame=<NameError: name 'undefined' is not defined>) at");
    prints("info args", "frame = <NameError: name 'undefined' is not defined>");
    run("python hindsight.pretty_printers.clear()");
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void on_alarm(int number)
{
    (void)number;
    debugger_interrupt(debugger);
}

/* The alarm comes once the script is in its loop: it sets it itself. */
static void test_an_interrupt_ends_a_script(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
    (void)state;
    sigaction(SIGUSR1, &action, &before);
    run("python import os, signal");
    refuses("python\nos.kill(os.getpid(), signal.SIGUSR1)\nwhile True: pass\n", "Interrupted.");
    run("python\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    while True: pass\n"
        "except KeyboardInterrupt:\n"
        "    caught = True\n"
        "assert len(hindsight.query('calls handle_pit')) > 10\n");
    /* What comes after it is not interrupted, nor is the next command. */
    holds("caught and hindsight.query('calls handle_pit').ended == 'end'");
    sigaction(SIGUSR1, &before, NULL);
}

/* ---- Several sessions, and where none may be ------------------------------------------------- */

static void test_values_of_another_session_are_refused(void **state)
{
    struct error error = {""};
    bool damaged;
    const struct debugger_options options = {0};
    (void)state;
    run("python kept, frame = hindsight.parse_and_eval('ticks'), hindsight.newest_frame()");
    struct debugger *first = debugger;
    debugger = debugger_open(trace_path, &options, &damaged, &error);
    assert_non_null(debugger);
    refuses("python print(kept)", "it is of another session");
    refuses("python frame.older()", "it is of another session");
    debugger_close(debugger);
    debugger = first;
    prints("python print(kept)", "0\n");
}

static void test_values_of_symbols_that_are_gone_are_refused(void **state)
{
    (void)state;
    run("add-symbol-file " TEST_GUESTS "/clock.elf 0x40000000");
    run("python kept = hindsight.parse_and_eval('ticks').type");
    run("remove-symbol-file clock.elf");
    refuses("python print(kept)", "a symbol file that is no longer used");
}

static void test_gdb_may_not(void **state)
{
    struct error error = {""};
    (void)state;
    assert_int_equal(debugger_execute_remote(debugger, "python print(1)", &error), -1);
    assert_non_null(strstr(error.text, "not to be had over gdb's protocol"));
    assert_int_equal(debugger_execute_remote(debugger, "python", &error), -1);
    assert_int_equal(debugger_execute_remote(debugger, "source x.py", &error), -1);
    assert_non_null(strstr(error.text, "not to be had over gdb's protocol"));
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text, size_t size)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static void test_files(void **state)
{
    (void)state;
    const char script[] = "def half(n):\n    return n / 2\n\nprint('half', half(3))\n";
    write_file("script.py", script, strlen(script));
    prints("source script.py", "half 1.5\n");
    const char bad[] = "print('first')\nprint(nothing)\n";
    write_file("script.py", bad, strlen(bad));
    refuses("source script.py", "File \"script.py\", line 2");
    write_file("script.py", "print(1)\0", 9);
    refuses("source script.py", "script.py is no script");
    write_file("script.py", "", 0);
    run("source script.py");
    unlink("script.py");
    refuses("source script.py", "No such file");
    const char block[] = "python\nprint('in', 'a block')\nend\necho after\n";
    write_file("session.hs", block, strlen(block));
    prints("source session.hs", "in a block\nafter\n");
    write_file("session.hs", "python\nprint(1)\n", 16);
    refuses("source session.hs", "a block of Python has no 'end'");
    prints("echo and on", "and on");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_code_is_executed_and_its_output_is_the_debuggers),
        TEST(test_blocks_keep_their_indentation),
        TEST(test_a_block_among_a_breakpoints_commands),
        TEST(test_exceptions_are_errors),
        TEST(test_commands_are_executed),
        TEST(test_values),
        TEST(test_every_operator_is_the_programs),
        TEST(test_text_arrays_and_casts),
        TEST(test_what_is_asked_of_the_module_wrongly_is_refused),
        TEST(test_memory_registers_and_symbols),
        TEST(test_places_in_time),
        TEST(test_frames_are_those_of_the_backtrace),
        TEST(test_questions_have_the_rows_that_json_has),
        TEST(test_a_breakpoints_class_decides_where_to_stop),
        TEST(test_watchpoints_ask_about_changes_in_both_directions),
        TEST(test_a_script_that_a_run_asks_may_only_look),
        TEST(test_printers_show_values_and_what_is_in_them),
        TEST(test_printers_may_give_maps_strings_and_values),
        TEST(test_printers_show_arguments_and_locals),
        TEST(test_an_interrupt_ends_a_script),
        TEST(test_values_of_another_session_are_refused),
        TEST(test_values_of_symbols_that_are_gone_are_refused),
        TEST(test_gdb_may_not),
        TEST(test_files),
    };
    if (!python_available())
        return 77;
    return cmocka_run_group_tests(tests, record_once, remove_recording);
}
