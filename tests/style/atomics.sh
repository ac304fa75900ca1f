#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Memory orders are named in base/atomic.h and os/shared.h only; volatile is no substitute.
cd "${top_srcdir:-$(dirname "$0")/../..}" || exit 99
bad=0
found=$(grep -rnE 'memory_order_|__ATOMIC_|__sync_' src tools include --include='*.[ch]' |
    grep -vE '^src/(base/atomic|os/shared)\.h:')
[ -z "$found" ] || { echo "memory orders outside base/atomic.h and os/shared.h:"; echo "$found"; bad=1; }
found=$(grep -rnE '\bvolatile\b' src --include='*.[ch]' |
    grep -vE '__asm__|^[^:]*:[0-9]+: *(/?\*|//)')
[ -z "$found" ] || { echo "volatile:"; echo "$found"; bad=1; }
exit $bad
