/*
 * A program with a planted memory bug, for the Linux demo: keeps accounts in a file on the array.
 *
 * It books transfers between accounts and writes each account's line to the file. The name of an
 * account is copied without a look at its length: one of the names is a letter longer than its
 * field, and its last letter and terminator fall into the balance after it. The file then holds a
 * wrong balance; some transfers later the books no longer add up, and the program aborts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCOUNTS = 8, NAME_SIZE = 12, START = 1000, TRANSFERS = 400 };

struct account {
    char name[NAME_SIZE];
    unsigned balance;
};

static struct account book[ACCOUNTS];
static unsigned state = 1;

static unsigned draw(unsigned limit)
{
    state = state * 1103515245u + 12345u;
    return (state >> 16) % limit;
}

/* The planted bug: `name` may be longer than the field. */
static void rename_account(unsigned number, const char *name)
{
    char *to = book[number].name;
    while ((*to++ = *name++))
        ;
}

static void transfer(unsigned from, unsigned to, unsigned amount)
{
    if (book[from].balance < amount)
        return;
    book[from].balance -= amount;
    book[to].balance += amount;
}

static void write_book(FILE *file)
{
    rewind(file);
    for (unsigned i = 0; i < ACCOUNTS; i++)
        fprintf(file, "%-14.14s %10u\n", book[i].name, book[i].balance);
    fflush(file);
    fsync(fileno(file));
}

static void check_book(unsigned done)
{
    unsigned total = 0;
    for (unsigned i = 0; i < ACCOUNTS; i++)
        total += book[i].balance;
    if (total == ACCOUNTS * START)
        return;
    printf("ledger: after %u transfers the books hold %u instead of %u\n", done, total,
        ACCOUNTS * START);
    fflush(stdout);
    *(volatile int *)NULL = (int)total;
}

int main(int argc, char **argv)
{
    static const char *const names[ACCOUNTS] = {
        "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"};
    FILE *file = argc == 2 ? fopen(argv[1], "w") : NULL;
    if (!file) {
        fprintf(stderr, "usage: ledger FILE\n");
        return 2;
    }
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        strcpy(book[i].name, names[i]);
        book[i].balance = START;
    }
    for (unsigned done = 0; done < TRANSFERS; done++) {
        transfer(draw(ACCOUNTS), draw(ACCOUNTS), draw(200));
        if (done == 170)
            rename_account(3, "dave-and-emma");
        if (done % 10 == 0)
            write_book(file);
        if (done % 100 == 99)
            check_book(done + 1);
    }
    write_book(file);
    return 0;
}
