/*
 * A kernel module that breaks a list as buffer overruns do: a record's name is copied with one word
 * too many, onto the list's pointer after it. Nothing walks the list: the kernel runs on.
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>

struct record {
    u64 name[2];
    struct list_head link;
};

static LIST_HEAD(records);

static noinline u64 tag_of(u64 number)
{
    return number * 0x9e3779b97f4a7c15ull;
}

static noinline void make_name(u64 *name, unsigned words, u64 number)
{
    unsigned i;
    for (i = 0; i < words; i++)
        name[i] = tag_of(number + i);
}

static noinline void set_name(struct record *record, const u64 *name, size_t size)
{
    memcpy(record->name, name, size);
}

static noinline void overrun_done(struct record *record)
{
    barrier_data(record);
}

static int __init overrun_init(void)
{
    u64 name[3];
    struct record *record = kzalloc(sizeof *record, GFP_KERNEL);
    if (!record)
        return -ENOMEM;
    list_add(&record->link, &records);
    make_name(name, ARRAY_SIZE(name), 7);
    set_name(record, name, sizeof name);
    overrun_done(record);
    return 0;
}

module_init(overrun_init);
MODULE_LICENSE("GPL");
