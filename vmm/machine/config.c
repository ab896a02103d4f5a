/* The machine's configuration as text: what the trace's header keeps. */
#include "vmm/machine/config.h"
#include "vmm/machine/schedule.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

void config_defaults(struct machine_config *config)
{
    *config = (struct machine_config){
        .memory = {{.size = 128ull << 20}},
        .memory_count = 1,
        .cpus = 1,
        .schedule = "random",
        .turn = {CONFIG_TURN_LEAST, CONFIG_TURN_MOST},
        .pace = PACE_REAL,
        .max_time = UINT64_MAX,
        .panic_exit = true,
        .reboot = true,
        .version = MACHINE_VERSION,
        .personality = PERSONALITY_OF_MODEL,
    };
}

int config_parse_memory(
    const char *text, struct memory_backend *backend, char **storage, struct error *error)
{
    *storage = NULL;
    *backend = (struct memory_backend){0};
    const char *size = text;
    if (strchr(text, '=')) {
        size = NULL;
        char *copy = strdup(text), *rest = copy, *part;
        if (!copy)
            return error_set(error, "out of memory");
        while ((part = strsep(&rest, ","))) {
            if (strncmp(part, "size=", 5) == 0 && !size) {
                size = text + (part - copy) + 5;
                if (parse_size(part + 5, &backend->size, error) < 0)
                    break;
            } else if (strncmp(part, "file=", 5) == 0 && part[5] && !*storage) {
                *storage = strdup(part + 5);
            } else {
                error_set(error, "%s: '%s' is not size=S or file=PATH", text, part);
                break;
            }
        }
        free(copy);
        if (part || !size) {
            free(*storage);
            *storage = NULL;
            return part ? -1 : error_set(error, "%s: size=S is missing", text);
        }
    } else if (parse_size(text, &backend->size, error) < 0) {
        return -1;
    }
    backend->path = *storage;
    if (backend->size == 0 || backend->size % PAGE_SIZE) {
        free(*storage);
        *storage = NULL;
        return error_set(error, "%s: the size must be a multiple of 4096 and not 0", text);
    }
    return 0;
}

static const char *const pace_names[] = {[PACE_REAL] = "real", [PACE_FAST] = "fast"};

void config_write(const struct machine_config *config, struct buffer *out)
{
    buffer_printf(out, "memory=");
    for (unsigned i = 0; i < config->memory_count; i++)
        buffer_printf(out, "%s%llu", i ? "+" : "", (unsigned long long)config->memory[i].size);
    buffer_printf(out, "\nboot=%s\n", boot_protocol_name(config->boot));
    if (config->cpus > 1) {
        buffer_printf(out, "cpus=%u\n", config->cpus);
        buffer_printf(out, "turn=%u..%u\n", config->turn[0], config->turn[1]);
        if (strcmp(config->schedule, "random") != 0)
            buffer_printf(out, "schedule=%s\n", config->schedule);
        if (config->store_buffers)
            buffer_printf(out, "store-buffers=on\n");
    }
    buffer_printf(out, "pace=%s\n", pace_names[config->pace]);
    buffer_printf(out, "max-time=%llu\n", (unsigned long long)config->max_time);
    if (config->hang)
        buffer_printf(out, "hang=%llu\n", (unsigned long long)config->hang);
    buffer_printf(out, "seed=%llu\n", (unsigned long long)config->seed);
    if (config->seeded)
        buffer_printf(out, "seeded=on\n");
    if (config->chaos)
        buffer_printf(out, "chaos=on\n");
    buffer_printf(out, "panic-exit=%s\n", config->panic_exit ? "on" : "off");
    buffer_printf(out, "reboot=%s\n", config->reboot ? "on" : "off");
    buffer_printf(out, "start-time=%lld\n", (long long)config->start_time);
    if (config->plain_apic)
        buffer_printf(out, "apic=plain\n");
    if (config->tsc_is_input)
        buffer_printf(out, "tsc=input\n");
    char rules[PERSONALITY_TEXT_MAX], host[HOST_CPU_TEXT_MAX];
    personality_format(&config->personality, rules);
    buffer_printf(out, "cpu-rules=%s\n", rules);
    if (config->host.vendor[0]) {
        host_cpu_format(&config->host, host);
        buffer_printf(out, "host=%s\n", host);
    }
    buffer_printf(out, "x87-functions=%s\n", config->host_functions ? "host" : "ours");
    for (unsigned i = 0; i < config->net_count; i++) {
        buffer_printf(out, "net=");
        net_config_write(&config->net[i], out);
        buffer_printf(out, "\n");
    }
    for (unsigned i = 0; i < config->net_fault_count; i++) {
        buffer_printf(out, "net-fault=");
        net_fault_print(&config->net_fault[i], out);
        buffer_printf(out, "\n");
    }
    for (unsigned i = 0; i < config->disk_count; i++) {
        buffer_printf(out, "disk=");
        disk_config_write(&config->disk[i], out);
        buffer_printf(out, "\n");
    }
    for (unsigned i = 0; i < config->fault_count; i++) {
        buffer_printf(out, "fault=");
        fault_print(&config->fault[i], out);
        buffer_printf(out, "\n");
    }
    buffer_printf(out, "append=");
    buffer_put(out, config->command_line, strlen(config->command_line));
    buffer_printf(out, "\n");
}

static bool parse_u64(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == '\0' && errno == 0;
}

static bool parse_memory_sizes(struct machine_config *config, char *value)
{
    config->memory_count = 0;
    for (char *part; (part = strsep(&value, "+"));) {
        uint64_t size;
        if (config->memory_count == MEMORY_MAX_BACKENDS || !parse_u64(part, &size))
            return false;
        config->memory[config->memory_count++] = (struct memory_backend){.size = size};
    }
    return true;
}

int config_parse_turn(const char *text, uint32_t turn[2], struct error *error)
{
    uint64_t count[2] = {0};
    const char *rest = text;
    char *end = NULL;
    for (unsigned i = 0; i < 2; i++) {
        if (!isdigit((unsigned char)*rest))
            break;
        errno = 0;
        count[i] = strtoull(rest, &end, 10);
        if (errno || count[i] > UINT32_MAX)
            break;
        uint64_t factor = *end == 'K' ? 1000 : *end == 'M' ? 1000000 : 1;
        count[i] *= factor;
        end += factor > 1;
        if (*end == '\0' && i == 0)
            count[++i] = count[0];
        rest = end + 2;
        if (i == 0 && strncmp(end, "..", 2) != 0)
            break;
    }
    if (!end || *end || count[0] == 0 || count[1] < count[0] || count[1] > CONFIG_TURN_LIMIT)
        return error_set(error,
            "'%s' is no length of turns: give instructions, as in 1K..100K, at most %uM", text,
            CONFIG_TURN_LIMIT / 1000000);
    turn[0] = (uint32_t)count[0];
    turn[1] = (uint32_t)count[1];
    return 0;
}

int config_set_schedule(struct machine_config *config, const char *text, struct error *error)
{
    struct schedule schedule;
    if (schedule_parse(text, &schedule, error) < 0)
        return -1;
    if (strlen(text) >= sizeof config->schedule)
        return error_set(error, "'%s' is too long for a schedule", text);
    strcpy(config->schedule, text);
    return 0;
}

static bool parse_cpus(struct machine_config *config, const char *value)
{
    uint64_t count;
    if (!parse_u64(value, &count) || count == 0 || count > CONFIG_MAX_CPUS)
        return false;
    config->cpus = (unsigned)count;
    return true;
}

static bool parse_entry(struct machine_config *config, const char *key, char *value)
{
    uint64_t number;
    if (strcmp(key, "memory") == 0)
        return parse_memory_sizes(config, value);
    if (strcmp(key, "boot") == 0)
        return boot_protocol_parse(value, &config->boot);
    if (strcmp(key, "pace") == 0) {
        config->pace = strcmp(value, "fast") == 0 ? PACE_FAST : PACE_REAL;
        return strcmp(value, pace_names[config->pace]) == 0;
    }
    if (strcmp(key, "cpus") == 0)
        return parse_cpus(config, value);
    if (strcmp(key, "schedule") == 0)
        return config_set_schedule(config, value, NULL) == 0;
    if (strcmp(key, "store-buffers") == 0) {
        config->store_buffers = true;
        return strcmp(value, "on") == 0;
    }
    if (strcmp(key, "turn") == 0)
        return config_parse_turn(value, config->turn, NULL) == 0;
    if (strcmp(key, "max-time") == 0)
        return parse_u64(value, &config->max_time);
    if (strcmp(key, "hang") == 0)
        return parse_u64(value, &config->hang) && config->hang;
    if (strcmp(key, "seeded") == 0) {
        config->seeded = strcmp(value, "on") == 0;
        return config->seeded;
    }
    if (strcmp(key, "chaos") == 0) {
        config->chaos = strcmp(value, "on") == 0;
        return config->chaos;
    }
    if (strcmp(key, "seed") == 0)
        return parse_u64(value, &config->seed);
    if (strcmp(key, "reboot") == 0) {
        config->reboot = strcmp(value, "on") == 0;
        return config->reboot || strcmp(value, "off") == 0;
    }
    if (strcmp(key, "panic-exit") == 0) {
        config->panic_exit = strcmp(value, "on") == 0;
        return config->panic_exit || strcmp(value, "off") == 0;
    }
    if (strcmp(key, "start-time") == 0) {
        if (!parse_u64(value, &number) || number > INT64_MAX)
            return false;
        config->start_time = (int64_t)number;
        return true;
    }
    if (strcmp(key, "apic") == 0) {
        config->plain_apic = strcmp(value, "plain") == 0;
        return config->plain_apic;
    }
    if (strcmp(key, "tsc") == 0) {
        config->tsc_is_input = strcmp(value, "input") == 0;
        return config->tsc_is_input;
    }
    if (strcmp(key, "cpu-rules") == 0)
        return personality_parse(value, &config->personality);
    if (strcmp(key, "host") == 0)
        return host_cpu_parse(value, &config->host);
    if (strcmp(key, "x87-functions") == 0) {
        config->host_functions = strcmp(value, "host") == 0;
        return config->host_functions || strcmp(value, "ours") == 0;
    }
    if (strcmp(key, "net") == 0)
        return config->net_count < CONFIG_MAX_NICS &&
               net_config_restore(value, &config->net[config->net_count++], NULL) == 0;
    if (strcmp(key, "net-fault") == 0)
        return config->net_fault_count < NET_FAULT_MAX &&
               net_fault_parse(value, &config->net_fault[config->net_fault_count++], NULL) == 0;
    if (strcmp(key, "disk") == 0)
        return config->disk_count < CONFIG_MAX_DISKS &&
               disk_config_restore(value, &config->disk[config->disk_count++], NULL) == 0;
    if (strcmp(key, "fault") == 0)
        return config->fault_count < FAULT_MAX &&
               fault_parse(value, &config->fault[config->fault_count++], NULL) == 0;
    if (strcmp(key, "append") == 0) {
        if (strlen(value) > BOOT_COMMAND_LINE_MAX)
            return false;
        strcpy(config->command_line, value);
        return true;
    }
    return false;
}

int config_parse(struct machine_config *config, const char *text, size_t size, struct error *error)
{
    config_defaults(config);
    char *copy = strndup(text, size), *rest = copy, *line;
    if (!copy)
        return error_set(error, "out of memory");
    int result = 0;
    while (result == 0 && (line = strsep(&rest, "\n"))) {
        char *value = strchr(line, '=');
        if (*line == '\0')
            continue;
        if (value)
            *value++ = '\0';
        if (!value || !parse_entry(config, line, value))
            result = error_set(error,
                "the trace's machine has '%s=%s', which this version does not know", line,
                value ? value : "");
    }
    free(copy);
    return result;
}
