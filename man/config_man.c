/* SPDX-License-Identifier: BSD-2-Clause
 *
 * man/config_man.c - writes kaja-config.5 from the table of properties to standard output.
 * tests/style/config-man.sh compares it with the page in the tree.
 */
#include "api/conf_row.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char head[] =
    ".\\\" SPDX-License-Identifier: BSD-2-Clause\n"
    ".\\\" Written by man/config_man.c from src/api/conf_table.h: change it there.\n"
    ".Dd January 1, 2026\n"
    ".Dt KAJA-CONFIG 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm kaja-config\n"
    ".Nd properties of kaja\n"
    ".Sh DESCRIPTION\n"
    "Properties have Kafka's names and Kafka's meaning; kaja's own begin with\n"
    ".Va kaja\\&. .\n"
    "A program sets them in a bag\n"
    ".Pq Xr kaja_conf_new 3 ,\n"
    "and one bag may hold properties of all kinds: each call that opens or makes something takes\n"
    "what concerns it.\n"
    ".Pp\n"
    "Properties of the\n"
    ".Em directory\n"
    "and defaults of topics stand in the directory itself.\n"
    "The first\n"
    ".Xr kaja_store_open 3\n"
    "stores what its bag sets; later ones must agree or fail with\n"
    ".Er CONFLICT ,\n"
    "which names the property and both values.\n"
    "Change them with\n"
    ".Xr kaja_admin_alter_configs 3 .\n"
    "Where a bag for\n"
    ".Xr kaja_store_open 3\n"
    "sets a topic property by its own name, its broker synonym is meant, except for\n"
    ".Va compression.type\n"
    "and the levels, which are then the producer's.\n"
    "Properties of topics, given to\n"
    ".Xr kaja_admin_create_topic 3 ,\n"
    "go before those of the directory.\n"
    "Properties of producers, consumers and the store handle last as long as the handle.\n"
    ".Ss Values\n"
    "Blanks around a value do not count.\n"
    ".Bl -tag -width double\n"
    ".It Vt bool\n"
    ".Li true\n"
    "or\n"
    ".Li false ,\n"
    "capitals or not.\n"
    ".It Vt int , long\n"
    "A decimal number of 32 or 64 bits with an optional sign.\n"
    ".It Vt double\n"
    "A decimal number, perhaps with a point and an exponent.\n"
    ".It Vt string\n"
    "As it is.\n"
    ".It Vt list\n"
    "Items separated by commas; none of them twice.\n"
    ".El\n"
    ".Pp\n"
    "A name that is not on this page, or a value that is not allowed, is an error\n"
    ".Pq Er INVALID_CONFIG ,\n"
    "so that a slip of the pen costs no data.\n"
    "What is not built yet is an error too\n"
    ".Pq Er UNSUPPORTED_FEATURE ,\n"
    "unless the value is the default.\n"
    "What has no meaning on one machine is accepted and has no effect.\n"
    ".Ss Files\n"
    ".Xr kaja_conf_set_file 3\n"
    "reads Java's format of properties:\n"
    ".Ql name=value\n"
    "or\n"
    ".Ql name: value\n"
    "lines, comments that begin with\n"
    ".Ql #\n"
    "or\n"
    ".Ql \\&! ,\n"
    "a backslash at the end of a line that goes on,\n"
    ".Ql \\et ,\n"
    ".Ql \\en\n"
    "and\n"
    ".Ql \\euXXXX .\n";

static const char tail[] =
    ".Sh EXAMPLES\n"
    "A day of records, at most a gigabyte a partition, in segments of 16 MiB:\n"
    ".Bd -literal -offset indent\n"
    "retention.ms=86400000\n"
    "retention.bytes=1073741824\n"
    "segment.bytes=16777216\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr kaja_admin_alter_configs 3 ,\n"
    ".Xr kaja_conf_new 3 ,\n"
    ".Xr kaja_store_open 3\n";

/* Text as input of mandoc: each sentence on a line of its own. */
static void put_text(const char *text)
{
    bool line_begins = true;
    for (const char *p = text; *p != '\0'; p++) {
        if (line_begins && (*p == '.' || *p == '\''))
            fputs("\\&", stdout);
        line_begins = false;
        if (*p == '\\') {
            fputs("\\e", stdout);
        } else if (*p == '.' && p[1] == ' ' && isupper((unsigned char)p[2])) {
            fputs(".\n", stdout);
            line_begins = true;
            p++;
        } else {
            putchar(*p);
        }
    }
    putchar('\n');
}

static void put_entry(const struct kj_conf_row *row)
{
    const struct kaja_conf_info *info = &row->info;
    printf(".It Va %s\n.Vt %s ,\n", info->name, info->type);
    if (info->unit[0] != '\0')
        printf("in %s,\n", info->unit);
    if (info->default_value == NULL)
        puts("no default;");
    else if (info->default_value[0] == '\0')
        puts("default: empty;");
    else
        printf("default\n.Li %s ;\n", info->default_value);
    printf("allowed: %s;\nimportance: %s", info->valid, row->importance);
    if (info->broker_name != NULL)
        printf(";\nsynonym\n.Va %s .\n", info->broker_name);
    else
        puts(".");
    puts(".br");
    put_text(info->text);
}

static void put_section(const char *title, const char *intro, unsigned scopes, int effect)
{
    const struct kj_conf_row *row;
    printf(".Sh %s\n", title);
    put_text(intro);
    puts(".Bl -tag -width 4n");
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++)
        if ((row->scopes & scopes) != 0 && row->info.effect == effect)
            put_entry(row);
    puts(".El");
}

/* Is it the directory's row of a topic property? Those are told with the topic's. */
static bool is_synonym(const struct kj_conf_row *row)
{
    const struct kj_conf_row *topic;
    for (size_t i = 0; (topic = kj_conf_row(i)) != NULL; i++)
        if (row->scopes == KJ_SCOPE_DIRECTORY && topic->info.broker_name != NULL &&
            strcmp(topic->info.broker_name, row->info.name) == 0)
            return true;
    return false;
}

static void put_directory(void)
{
    const struct kj_conf_row *row;
    puts(".Sh THE DIRECTORY");
    put_text("Besides these, the synonyms of topic properties above.");
    puts(".Bl -tag -width 4n");
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++)
        if (row->scopes == KJ_SCOPE_DIRECTORY && row->info.effect == 1 &&
            (!is_synonym(row) || strcmp(row->info.name, "log.retention.ms") == 0))
            put_entry(row);
    puts(".El");
}

static void put_brief(const char *title, const char *intro, int effect)
{
    const struct kj_conf_row *row;
    printf(".Sh %s\n", title);
    put_text(intro);
    puts(".Bl -tag -width 4n -compact");
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        if (row->info.effect != effect || is_synonym(row))
            continue;
        printf(".It Va %s Pq %s", row->info.name, row->info.scope);
        if (row->info.default_value != NULL && row->info.default_value[0] != '\0')
            printf(" ; default Li %s", row->info.default_value);
        putchar('\n');
        put_text(row->info.text);
    }
    puts(".El");
}

int main(void)
{
    fputs(head, stdout);
    put_section("TOPICS",
                "The synonym is the name under which the directory keeps a default for all topics.",
                KJ_SCOPE_TOPIC, 1);
    put_directory();
    put_section("THE STORE HANDLE", "Given to kaja_store_open(), for this handle only.",
                KJ_SCOPE_HANDLE, 1);
    put_section("PRODUCERS", "Given to kaja_producer_open().", KJ_SCOPE_PRODUCER, 1);
    put_section("CONSUMERS", "Given to kaja_consumer_open().", KJ_SCOPE_CONSUMER, 1);
    put_brief("NOT BUILT YET", "Only the default is accepted.", -1);
    put_brief("WITHOUT EFFECT",
              "Accepted with any value that Kafka would take, so that the properties of existing "
              "programs can stay.",
              0);
    fputs(tail, stdout);
    return ferror(stdout) || fflush(stdout) != 0;
}
