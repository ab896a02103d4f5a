/*
 * A 32-bit program without a C library (cc -m32 -ffreestanding -nostdlib): computes, makes system
 * calls by INT 80h and by the entry in the vDSO (SYSCALL or SYSENTER), pushes and loads segment
 * registers, uses addresses of 16 bits, BCD and x87, reads the time stamp counter, takes a signal,
 * and tells a fold of what it saw.
 */
typedef unsigned int u32;
typedef unsigned char u8;

enum { CALL_EXIT = 1, CALL_WRITE = 4, CALL_GETPID = 20, CALL_KILL = 37, CALL_SIGACTION = 67 };
enum { AT_SYSINFO = 32, SIGNAL = 10, ROUNDS = 30, SPIN = 100000 };

static u32 entry; /* of the vDSO; 0: none */
static volatile u32 signals;

static int call(u32 number, u32 a, u32 b, u32 c)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static int fast_call(u32 number)
{
    int result;
    if (!entry)
        return call(number, 0, 0, 0);
    __asm__ volatile("call *%1" : "=a"(result) : "m"(entry), "a"(number) : "memory", "cc");
    return result;
}

static void put(const char *text)
{
    u32 size = 0;
    while (text[size])
        size++;
    call(CALL_WRITE, 1, (u32)text, size);
}

static void put_number(const char *name, u32 value)
{
    char text[12];
    for (u32 i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    text[8] = '\n';
    text[9] = 0;
    put(name);
    put(text);
}

static void take_signal(int number)
{
    signals += number == SIGNAL;
}

static u32 segments(void)
{
    u32 fold = 0, value;
    __asm__ volatile("push %%cs; pop %0" : "=r"(value));
    fold = fold * 31 + value;
    __asm__ volatile("push %%ds; pop %0" : "=r"(value));
    fold = fold * 31 + value;
    /* Loads are those that change nothing. */
    __asm__ volatile(
        "mov %%es, %0; mov %0, %%es; push %%ds; pop %%fs; mov %%fs, %0; lar %%ax, %%eax"
        : "=&a"(value)
        :
        : "cc");
    return fold * 31 + value;
}

static u32 decimal(u32 value)
{
    u8 low = (u8)value;
    __asm__ volatile("add $0x19, %0; daa" : "+a"(low) : : "cc");
    return low;
}

static u32 floating(u32 value)
{
    double result;
    __asm__("fildl %1; fsqrt; fldpi; fmulp; fstpl %0" : "=m"(result) : "m"(value) : "st");
    u32 parts[2];
    __builtin_memcpy(parts, &result, sizeof parts);
    return parts[0] ^ parts[1];
}

static u32 counter(void)
{
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low ^ high;
}

static u32 compute(u32 fold)
{
    for (u32 i = 0; i < SPIN; i++)
        fold = (fold << 5 | fold >> 27) * 0x9e3779b1u + i;
    return fold;
}

static void find_entry(const u32 *stack)
{
    const u32 *word = stack + 1 + stack[0] + 1;
    while (*word++) /* the environment */
        ;
    for (; word[0]; word += 2)
        if (word[0] == AT_SYSINFO)
            entry = word[1];
}

__attribute__((used)) void start(const u32 *stack)
{
    struct {
        void (*handler)(int number);
        u32 mask, flags;
        void (*restorer)(void);
    } action = {.handler = take_signal};
    find_entry(stack);
    call(CALL_SIGACTION, SIGNAL, (u32)&action, 0);
    const u32 self = (u32)call(CALL_GETPID, 0, 0, 0);
    u32 fold = 0, wrong = 0;
    for (u32 round = 0; round < ROUNDS; round++) {
        fold = compute(fold) ^ segments() ^ decimal(round) ^ floating(round);
        fold = fold * 31 + counter();
        wrong += (u32)fast_call(CALL_GETPID) != self;
        call(CALL_KILL, self, SIGNAL, 0);
        if (round % 10 == 9)
            put_number("narrow: ", fold);
    }
    put_number("narrow: entry ", entry != 0);
    put_number("narrow: signals ", signals);
    put_number("narrow: done, wrong ", wrong);
    call(CALL_EXIT, wrong || signals != ROUNDS, 0, 0);
}

__asm__(".globl _start\n_start: mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call "
        "start\n");
