// SPDX-License-Identifier: GPL-2.0
/*
 * Adds up samples in batches: what is written is added to the open batch, a timer closes the batch
 * and logs it. The planted bug: nothing holds the timer off between the look at the open batch and
 * its use. A sample begins right after a tick and takes a quarter of the time to the next, so that
 * only a tick which comes early closes the batch of a sample under way. Built with -DFIXED it is
 * without the bug.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/uaccess.h>

enum { ROUNDS = 300000 };

struct batch {
    unsigned long count;
    u64 sum;
};

static DEFINE_SPINLOCK(lock);
static struct batch *open_batch;
static struct timer_list closing;

static noinline void close_batch(struct timer_list *timer)
{
    struct batch *batch;

    spin_lock(&lock);
    batch = READ_ONCE(open_batch);
    WRITE_ONCE(open_batch, NULL);
    spin_unlock(&lock);
    if (batch)
        pr_info("tally: %lu samples, sum %llx\n", batch->count, batch->sum);
    kfree(batch);
}

static noinline u64 weigh(u64 x)
{
    for (unsigned int i = 0; i < ROUNDS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

static noinline int add_sample(u64 sample)
{
    if (!READ_ONCE(open_batch)) {
        struct batch *batch = kzalloc(sizeof(*batch), GFP_ATOMIC);

        if (!batch)
            return -ENOMEM;
        WRITE_ONCE(open_batch, batch);
        mod_timer(&closing, jiffies + 1);
    }
    sample = weigh(sample);
    READ_ONCE(open_batch)->sum += sample;
    READ_ONCE(open_batch)->count++;
    return 0;
}

static ssize_t tally_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
    u64 sample = 88172645463325252ull;
    int result;

    if (copy_from_user(&sample, buf, min(len, sizeof(sample))))
        return -EFAULT;
    schedule_timeout_uninterruptible(1);
#ifdef FIXED
    spin_lock_bh(&lock);
#endif
    result = add_sample(sample);
#ifdef FIXED
    spin_unlock_bh(&lock);
#endif
    return result ? result : len;
}

static const struct file_operations operations = {.owner = THIS_MODULE, .write = tally_write};
static struct miscdevice device = {MISC_DYNAMIC_MINOR, "tally", &operations};

static int __init tally_init(void)
{
    timer_setup(&closing, close_batch, 0);
    return misc_register(&device);
}

static void __exit tally_exit(void)
{
    misc_deregister(&device);
    del_timer_sync(&closing);
    kfree(open_batch);
}

module_init(tally_init);
module_exit(tally_exit);
MODULE_LICENSE("GPL");
