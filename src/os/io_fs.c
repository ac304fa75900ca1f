/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What file system the root lies on. The numbers are the kernel's (linux/magic.h and the sources of
 * file systems that are not in it); written out here, for older headers lack some.
 */
#include "os/io_real.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

enum kind { LOCAL, REMOTE, VOLATILE };

struct known {
    uint32_t magic;
    enum kind kind;
    const char *name;
};

static const struct known table[] = {
    {0x0000ef53, LOCAL, "ext4"}, /* ext2 and ext3 too */
    {0x58465342, LOCAL, "xfs"},       {0x9123683e, LOCAL, "btrfs"},
    {0xf2f52010, LOCAL, "f2fs"},      {0x2fc12fc1, LOCAL, "zfs"},
    {0xca451a4e, LOCAL, "bcachefs"},  {0x3153464a, LOCAL, "jfs"},
    {0x52654973, LOCAL, "reiserfs"},  {0x00003434, LOCAL, "nilfs2"},
    {0x794c7630, LOCAL, "overlay"},   {0x0000f15f, LOCAL, "ecryptfs"},
    {0x00004d44, LOCAL, "vfat"},      {0x2011bab0, LOCAL, "exfat"},
    {0x7366746e, LOCAL, "ntfs3"},     {0x01021994, VOLATILE, "tmpfs"},
    {0x858458f6, VOLATILE, "ramfs"},  {0x00006969, REMOTE, "nfs"},
    {0x0000517b, REMOTE, "smb"},      {0xff534d42, REMOTE, "cifs"},
    {0xfe534d42, REMOTE, "smb2"},     {0x65735546, REMOTE, "fuse"},
    {0x01021997, REMOTE, "9p"},       {0x00c36400, REMOTE, "ceph"},
    {0x5346414f, REMOTE, "afs"},      {0x6b414653, REMOTE, "kafs"},
    {0x73757245, REMOTE, "coda"},     {0x0000564c, REMOTE, "ncp"},
    {0x01161970, REMOTE, "gfs2"},     {0x7461636f, REMOTE, "ocfs2"},
    {0x0bd00bd0, REMOTE, "lustre"},   {0x47504653, REMOTE, "gpfs"},
    {0x20030528, REMOTE, "orangefs"}, {0x19830326, REMOTE, "beegfs"},
    {0xbacbacbc, REMOTE, "vmhgfs"},   {0x786f4256, REMOTE, "vboxsf"},
    {0x61756673, LOCAL, "aufs"},
};

int kj_real_fs(struct kj_io *io, struct kj_io_fs *ret_fs)
{
    struct statfs fs;
    struct stat st;
    while (fstatfs(io->root_fd, &fs) != 0)
        if (errno != EINTR)
            return errno;
    if (fstat(io->root_fd, &st) != 0)
        return errno;
    struct kj_io_fs result = {
        .read_only = (fs.f_flags & ST_RDONLY) != 0,
        .device = st.st_dev,
    };
    if (__builtin_mul_overflow(fs.f_bavail, fs.f_frsize != 0 ? fs.f_frsize : fs.f_bsize,
                               &result.free_bytes))
        result.free_bytes = INT64_MAX;
    uint32_t magic = (uint32_t)fs.f_type;
    (void)snprintf(result.name, sizeof result.name, "0x%08x", magic);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].magic == magic) {
            result.remote = table[i].kind == REMOTE;
            result.volatile_ = table[i].kind == VOLATILE;
            (void)snprintf(result.name, sizeof result.name, "%s", table[i].name);
        }
    *ret_fs = result;
    return 0;
}
