/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/record.c - kaja/record.h: the headers of a record that was read.
 */
#include "base/err.h"
#include "record/record.h"

int kaja_record_header(const struct kaja_record_view *record, size_t i,
                       struct kaja_header *ret_header)
{
    if (record == NULL || ret_header == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_record_header: %s is NULL",
                      record == NULL ? "record" : "ret_header");
    if (i >= record->header_count)
        return kj_err(KAJA_ERR_INVALID_ARG, "the record has %zu headers, not a number %zu",
                      record->header_count, i);
    const uint8_t *at = record->headers;
    const uint8_t *end = at + record->headers_bytes;
    struct kj_header header = {NULL, 0, NULL, 0};
    for (size_t n = 0; n <= i; n++) {
        at = kj_header_decode(at, end, &header);
        if (at == NULL) /* a view that the caller made or changed */
            return kj_err(KAJA_ERR_INVALID_ARG, "the headers of the record are malformed");
    }
    *ret_header =
        (struct kaja_header){header.key, header.key_bytes, header.value, header.value_bytes};
    return 0;
}
