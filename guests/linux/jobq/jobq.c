// SPDX-License-Identifier: GPL-2.0
/* A job queue: user space submits jobs, a worker runs them, a timer expires what is late. */
#include <linux/module.h>
#include <linux/miscdevice.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/list.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include <linux/uaccess.h>
#include <linux/percpu.h>
#include <linux/delay.h>

enum job_state { JOB_NEW, JOB_RUNNING, JOB_DONE, JOB_EXPIRED };

struct job {
    u32 id;
    u32 prio : 3;
    u32 state : 2; /* enum job_state */
    u32 cancelled : 1;
    u32 hops : 10;
    int refs;
    u64 deadline;
    struct list_head node;
    u64 sum;
    void (*done)(struct job *job, int status);
    u8 payload[48];
};

struct jobq_stats {
    unsigned long submitted, finished, expired, freed;
    u8 by_prio[8];
};

static DEFINE_PER_CPU(struct jobq_stats, jobq_stats);
static LIST_HEAD(active);
static DEFINE_SPINLOCK(active_lock);
static struct timer_list reaper;
static struct workqueue_struct *wq;
static u32 next_id = 1;
static struct job *last_done;
static char *last_note;

static int rounds = 40;
module_param(rounds, int, 0444);

static inline struct job *job_get(struct job *job)
{
    job->refs++;
    return job;
}

static inline void job_put(struct job *job)
{
    if (--job->refs == 0) {
        this_cpu_inc(jobq_stats.freed);
        kfree(job);
    }
}

static noinline void job_done(struct job *job, int status)
{
    struct job *old = last_done;

    job->state = status ? JOB_EXPIRED : JOB_DONE;
    last_done = job_get(job);
    if (old)
        job_put(old);
    if (status)
        this_cpu_inc(jobq_stats.expired);
    else
        this_cpu_inc(jobq_stats.finished);
}

/* softirq: what is late leaves the queue */
static void reaper_fn(struct timer_list *t)
{
    struct job *job, *next;

    spin_lock(&active_lock);
    list_for_each_entry_safe(job, next, &active, node)
    {
        if (time_before64(get_jiffies_64(), job->deadline))
            continue;
        list_del_init(&job->node);
        job->done(job, -ETIME);
        if (job->cancelled)
            job_put(job); /* BUG 1: cancel's reference was dropped by cancel already */
        job_put(job);
    }
    spin_unlock(&active_lock);
    mod_timer(t, jiffies + 1);
}

static u64 job_compute(struct job *job)
{
    u64 sum = 14695981039346656037ull;

    for (int round = 0; round < rounds; round++)
        for (unsigned int i = 0; i < sizeof(job->payload); i++)
            sum = (sum ^ job->payload[i]) * 1099511628211ull;
    return sum;
}

/* BUG 2: the job is used without a reference; the reaper may free it meanwhile. */
static void worker_fn(struct work_struct *work)
{
    struct job *job;

    spin_lock_bh(&active_lock);
    job = list_first_entry_or_null(&active, struct job, node);
    if (job)
        job->state = JOB_RUNNING;
    spin_unlock_bh(&active_lock);
    if (!job)
        goto out;
    job->sum = job_compute(job);
    job->hops++;
    job->done(job, 0);
    spin_lock_bh(&active_lock);
    if (!list_empty(&job->node)) {
        list_del_init(&job->node);
        job_put(job);
    }
    spin_unlock_bh(&active_lock);
out:
    kfree(work);
}

static ssize_t jobq_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
    struct job *job = kzalloc(sizeof(*job), GFP_KERNEL);
    struct work_struct *work = kzalloc(sizeof(*work), GFP_KERNEL);
    struct jobq_stats *stats;

    if (!job || !work)
        goto fail;
    if (copy_from_user(job->payload, buf, min(len, sizeof(job->payload))))
        goto fail;
    job->id = next_id++;
    job->prio = job->payload[0] & 7;
    job->refs = 1;
    job->done = job_done;
    job->deadline = get_jiffies_64() + 1 + (job->payload[1] & 3);
    stats = get_cpu_ptr(&jobq_stats);
    stats->submitted++;
    stats->by_prio[job->prio]++;
    put_cpu_ptr(&jobq_stats);
    if (len > sizeof(job->payload)) { /* a note, kept for the log */
        kfree(last_note);
        last_note = kmalloc(128, GFP_KERNEL);
        if (last_note && copy_from_user(last_note, buf + sizeof(job->payload),
                             min(len - sizeof(job->payload), 128ul)))
            pr_warn("jobq: note lost\n");
    }
    spin_lock_bh(&active_lock);
    list_add_tail(&job->node, &active);
    spin_unlock_bh(&active_lock);
    INIT_WORK(work, worker_fn);
    queue_work(wq, work);
    return len;
fail:
    kfree(job);
    kfree(work);
    return -ENOMEM;
}

static long jobq_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
    struct job *job;
    long found = -ENOENT;

    spin_lock_bh(&active_lock);
    list_for_each_entry(job, &active, node) if (job->id == arg)
    {
        job_get(job);
        job->cancelled = 1;
        found = 0;
        job_put(job);
        break;
    }
    spin_unlock_bh(&active_lock);
    return found;
}

static const struct file_operations jobq_fops = {
    .owner = THIS_MODULE,
    .write = jobq_write,
    .unlocked_ioctl = jobq_ioctl,
};

static struct miscdevice jobq_dev = {MISC_DYNAMIC_MINOR, "jobq", &jobq_fops};

static int __init jobq_init(void)
{
    wq = alloc_workqueue("jobq", WQ_UNBOUND, 1);
    if (!wq)
        return -ENOMEM;
    timer_setup(&reaper, reaper_fn, 0);
    mod_timer(&reaper, jiffies + 1);
    return misc_register(&jobq_dev);
}

static void __exit jobq_exit(void)
{
    misc_deregister(&jobq_dev);
    del_timer_sync(&reaper);
    destroy_workqueue(wq);
}

module_init(jobq_init);
module_exit(jobq_exit);
MODULE_LICENSE("GPL");
