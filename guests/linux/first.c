/* A program for a debugger's first commands: a list that a loop builds, walks and changes. */
#include <stdio.h>
#include <stdlib.h>

struct item {
    struct item *next;
    int number;
    const char *name;
};

static struct item first_items[4];
int first_total;

static __attribute__((noinline)) int add_item(struct item *item, int number)
{
    int before = first_total;
    item->number = number;
    first_total += number;
    return before + number;
}

static __attribute__((noinline)) int walk_items(struct item *first)
{
    int sum = 0;
    for (struct item *item = first; item; item = item->next)
        sum += add_item(item, item->number * 2);
    return sum;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"one", "two", "three", "four"};
    for (int i = 0; i < 4; i++)
        first_items[i] = (struct item){i < 3 ? &first_items[i + 1] : NULL, i + 1, names[i]};
    int sum = walk_items(&first_items[0]);
    printf("%s: %d %d\n", argv[0], sum, first_total);
    return argc > 5;
}
