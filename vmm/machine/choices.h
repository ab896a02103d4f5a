/*
 * What the seed of a live run chose, one by one: where a timer fired before its deadline (chaos),
 * and where a turn ended though its vCPU could have gone on. A run can note its choices, and
 * another follow a part of them, with the seed choosing nothing: then a timer fires at its
 * deadline, and a vCPU runs until it waits or halts, or for very long. So a search can tell which
 * choices matter.
 *
 * A choice is placed by the instructions that its vCPU had retired by itself, whatever the others
 * did meanwhile, and by how often the source had been asked since. For an engine that counts.
 */
#ifndef VMM_MACHINE_CHOICES_H
#define VMM_MACHINE_CHOICES_H

#include "vmm/machine/machine.h"

enum choice_kind { CHOICE_TIMER, CHOICE_TURN };

struct choice {
    enum choice_kind kind;
    unsigned vcpu;  /* that ran */
    uint64_t insns; /* it had retired */
    uint64_t poll;  /* how often the source had been asked with that count */
    unsigned to;    /* CHOICE_TURN: who ran then */
    uint64_t event; /* after which it was made, in the run that noted it */
};

struct choices {
    struct choice *list; /* in the order in which they were made */
    size_t count, room;
    bool failed; /* one was lost: no memory */
};

void choices_free(struct choices *choices);
void choices_add(struct choices *choices, const struct choice *choice);
/* A line each: "timer VCPU INSNS POLL EVENT" or "turn VCPU INSNS POLL EVENT TO". */
void choices_write(const struct choices *choices, struct buffer *out);
/* `text` is changed. -1 where a line is not as above; what was read is freed by the caller. */
int choices_parse(struct choices *choices, char *text, struct error *error);

/* Where a live run is. Zeroed at its start, with what it is to note or follow. */
struct chooser {
    struct choices *note;         /* or NULL */
    const struct choices *follow; /* NULL: the seed chooses */
    size_t next[CONFIG_MAX_CPUS]; /* in follow->list, of each vCPU */
    uint64_t ran[CONFIG_MAX_CPUS];
    uint64_t since; /* engine->retired when the turn began */
    uint64_t last;  /* own count when the source was last asked */
    uint64_t polls; /* since it was that */
    bool waits;     /* the running vCPU waits for another */
};

/* At each poll, first of all. */
void chooser_poll(struct chooser *chooser, const struct machine *machine);
/* The seed made this choice. */
void chooser_note(
    struct chooser *chooser, const struct machine *machine, enum choice_kind kind, unsigned to);
/* A timer is to fire before its deadline, says what is followed. */
bool chooser_fires(struct chooser *chooser, const struct machine *machine);
/* Following: is another vCPU to run? */
bool chooser_turns(struct chooser *chooser, const struct machine *machine, unsigned *to);
/* Another vCPU is about to run. */
void chooser_turned(struct chooser *chooser, const struct machine *machine);
/* Following: instructions until the source is to be asked again. */
uint64_t chooser_left(struct chooser *chooser, const struct machine *machine);

#endif
