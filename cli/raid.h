/* What the files of 'hindsight raid' share. */
#ifndef CLI_RAID_H
#define CLI_RAID_H

#include "cli/cli.h"
#include "cli/progress.h"
#include "devices/raid/raid.h"
#include "vmm/host/block/raw.h"

enum { RAID_MAX_FILES = RAID_MAX_MEMBERS * 2 };

struct raid_files {
    const char *makes; /* a file that is made or removed when these are open; NULL: none */
    unsigned count;
    const char *path[RAID_MAX_FILES];
    struct raw_file *file[RAID_MAX_FILES];
    struct raid_member member[RAID_MAX_FILES];
};

/* Options of all subcommands; each accepts those it names. */
struct raid_arguments {
    enum raid_level level;
    bool has_level;
    uint64_t chunk, size; /* bytes; size 0: not given */
    const char *name;
    const char *old_path, *new_path; /* --replace OLD=NEW */
    bool strict, assume_clean, force, degraded, repair, json;
    struct raid_files files;
};

/* Adds a file and opens it. */
int raid_files_add(struct raid_files *files, const char *path, const struct raw_options *options,
    struct error *error);
int raid_files_open(
    struct raid_files *files, const struct raw_options *options, struct error *error);
void raid_files_close(struct raid_files *files);
/* The array of these files, recovered, with a bar while that takes long. `check` of the options is
 * asked before anything is written; the rest of them comes from the arguments. */
struct raid_array *raid_files_assemble(const struct raid_files *files,
    const struct raid_arguments *arguments, const struct raid_options *checks, struct error *error);

int cli_raid_assemble(struct raid_arguments *arguments);
int cli_raid_rebuild(struct raid_arguments *arguments);
int cli_raid_scrub(struct raid_arguments *arguments);
int cli_raid_status(struct raid_arguments *arguments);

#endif
