/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/main.c - finds the command and starts it.
 */
#include "tools/commands.h"
#include "tools/common.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct kj_command *const commands[] = {
    &kj_cmd_topics,      &kj_cmd_console_producer,   &kj_cmd_console_consumer,
    &kj_cmd_get_offsets, &kj_cmd_delete_records,     &kj_cmd_configs,
    &kj_cmd_log_dirs,    &kj_cmd_dump_log,           &kj_cmd_verify,
    &kj_cmd_export,      &kj_cmd_demo,               &kj_cmd_producer_perf_test,
    &kj_cmd_consumer_perf_test, &kj_cmd_consumer_groups,
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *file)
{
    fputs("usage: kaja COMMAND [options]\n\n", file);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(file, "  %-20s  %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nShort names: produce, consume. `kaja COMMAND --help` lists a command's options;\n"
          "`kaja demo` shows topics, partitions and offsets at work.\n",
          file);
}

static const struct kj_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0 ||
            (commands[i]->alias != NULL && strcmp(commands[i]->alias, name) == 0))
            return commands[i];
    return NULL;
}

static const char *command_name_at(size_t i, const void *arg)
{
    (void)arg;
    if (i < COMMAND_COUNT)
        return commands[i]->name;
    if (i < 2 * COMMAND_COUNT) /* kj_nearest() stops at NULL, so a missing alias repeats the name */
        return commands[i - COMMAND_COUNT]->alias != NULL ? commands[i - COMMAND_COUNT]->alias
                                                          : commands[i - COMMAND_COUNT]->name;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *near = strcmp(name, "groups") == 0 ? "consumer-groups"
                                                   : kj_nearest(name, command_name_at, NULL);
    if (near != NULL)
        kj_complain("kaja: '%s' is not a command; did you mean %s?", name, near);
    else
        kj_complain("kaja: '%s' is not a command", name);
    fputs("Try 'kaja --help'.\n", stderr);
    return KJ_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    /* A reader that goes away is an error of write(), handled where it happens. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        kj_complain("kaja: a command is missing");
        print_usage(stderr);
        return KJ_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        puts(kaja_version());
        return kj_finish(KJ_EXIT_OK);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        const struct kj_command *command = argc > 2 ? find_command(argv[2]) : NULL;
        if (argc > 2 && command == NULL)
            return unknown_command(argv[2]);
        if (command != NULL)
            kj_help(command);
        else
            print_usage(stdout);
        return kj_finish(KJ_EXIT_OK);
    }
    const struct kj_command *command = find_command(name);
    if (command == NULL)
        return unknown_command(name);
    struct kj_args args;
    kj_args_parse(command, argc - 2, argv + 2, &args);
    int status = kj_finish(command->run(&args));
    kj_args_free(&args);
    return status;
}
