/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/commands.h - the commands; each lives in a file of its own.
 */
#ifndef KJ_TOOLS_COMMANDS_H
#define KJ_TOOLS_COMMANDS_H

#include "tools/args.h"

extern const struct kj_command kj_cmd_topics;
extern const struct kj_command kj_cmd_console_producer;
extern const struct kj_command kj_cmd_console_consumer;
extern const struct kj_command kj_cmd_get_offsets;
extern const struct kj_command kj_cmd_delete_records;
extern const struct kj_command kj_cmd_configs;
extern const struct kj_command kj_cmd_log_dirs;
extern const struct kj_command kj_cmd_dump_log;
extern const struct kj_command kj_cmd_verify;
extern const struct kj_command kj_cmd_export;
extern const struct kj_command kj_cmd_producer_perf_test;
extern const struct kj_command kj_cmd_consumer_perf_test;
extern const struct kj_command kj_cmd_consumer_groups;
extern const struct kj_command kj_cmd_demo;

#endif
