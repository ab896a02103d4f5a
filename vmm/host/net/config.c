/* The text forms of a NIC's configuration. */
#include "vmm/host/net/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_mac(const char *text, uint8_t mac[6])
{
    int end = 0;
    return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3],
               &mac[4], &mac[5], &end) == 6 &&
           text[end] == '\0' && !(mac[0] & 1);
}

static int parse_part(
    const char *part, struct net_config *config, bool *has_mac, struct error *error)
{
    if (strncmp(part, "link=", 5) == 0) {
        if (config->links == BOND_MAX_LINKS)
            return error_set(error, "--net: at most %d links can be bonded", BOND_MAX_LINKS);
        config->link[config->links] = strdup(part + 5);
        if (!config->link[config->links++])
            return error_set(error, "out of memory");
        return 0;
    }
    if (strncmp(part, "bond=", 5) == 0) {
        if (!bond_mode_parse(part + 5, &config->mode))
            return error_set(error, "--net: bond=%s: rr, hash or backup", part + 5);
        return 0;
    }
    if (strncmp(part, "mac=", 4) == 0) {
        *has_mac = parse_mac(part + 4, config->mac);
        if (!*has_mac)
            return error_set(
                error, "--net: mac=%s is not a unicast address like 52:54:00:12:34:56", part + 4);
        return 0;
    }
    return error_set(error, "--net: '%s' is not link=, bond= or mac=", part);
}

int net_config_parse(
    const char *text, uint64_t seed, struct net_config *config, struct error *error)
{
    *config = (struct net_config){0};
    bool has_mac = false;
    int result = 0;
    char *copy = strdup(text), *rest = copy, *part;
    if (!copy)
        return error_set(error, "out of memory");
    while (result == 0 && (part = strsep(&rest, ",")))
        result = parse_part(part, config, &has_mac, error);
    free(copy);
    if (result == 0 && config->links == 0)
        result = error_set(error, "--net %s: no link=", text);
    if (result < 0) {
        net_config_free(config);
        return -1;
    }
    if (!has_mac) {
        const uint8_t drawn[6] = {
            0x52, 0x54, 0, (uint8_t)(seed >> 16), (uint8_t)(seed >> 8), (uint8_t)seed};
        memcpy(config->mac, drawn, sizeof drawn);
    }
    return 0;
}

void net_config_write(const struct net_config *config, struct buffer *out)
{
    const uint8_t *mac = config->mac;
    buffer_printf(out, "links=%u,bond=%s,mac=%02x:%02x:%02x:%02x:%02x:%02x", config->links,
        bond_mode_name(config->mode), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

int net_config_restore(const char *text, struct net_config *config, struct error *error)
{
    char mode[16], mac[24];
    *config = (struct net_config){0};
    if (sscanf(text, "links=%u,bond=%15[a-z],mac=%23s", &config->links, mode, mac) != 3 ||
        config->links == 0 || config->links > BOND_MAX_LINKS ||
        !bond_mode_parse(mode, &config->mode) || !parse_mac(mac, config->mac))
        return error_set(error, "the trace's network '%s' is not understood", text);
    return 0;
}

void net_config_free(struct net_config *config)
{
    for (unsigned i = 0; i < BOND_MAX_LINKS; i++) {
        free(config->link[i]);
        config->link[i] = NULL;
    }
}
