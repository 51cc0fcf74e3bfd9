/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM handover

#if !defined(HANDOVER_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define HANDOVER_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(handover_preserve,
	TP_PROTO(const char *session, u64 token, u64 pages, u64 pieces, u64 ns, int err),
	TP_ARGS(session, token, pages, pieces, ns, err),
	TP_STRUCT__entry(
		__string(session, session)
		__field(u64, token)
		__field(u64, pages)
		__field(u64, pieces)
		__field(u64, ns)
		__field(int, err)
	),
	TP_fast_assign(
		__assign_str(session);
		__entry->token = token;
		__entry->pages = pages;
		__entry->pieces = pieces;
		__entry->ns = ns;
		__entry->err = err;
	),
	TP_printk("session=%s token=%llu pages=%llu pieces=%llu ns=%llu err=%d",
		  __get_str(session), __entry->token, __entry->pages, __entry->pieces,
		  __entry->ns, __entry->err)
);

TRACE_EVENT(handover_seal,
	TP_PROTO(u32 sessions, u64 table_bytes, u32 updated, u64 ns, int err),
	TP_ARGS(sessions, table_bytes, updated, ns, err),
	TP_STRUCT__entry(
		__field(u32, sessions)
		__field(u64, table_bytes)
		__field(u32, updated)
		__field(u64, ns)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->sessions = sessions;
		__entry->table_bytes = table_bytes;
		__entry->updated = updated;
		__entry->ns = ns;
		__entry->err = err;
	),
	TP_printk("sessions=%u table_bytes=%llu updated=%u ns=%llu err=%d",
		  __entry->sessions, __entry->table_bytes, __entry->updated,
		  __entry->ns, __entry->err)
);

TRACE_EVENT(handover_retrieve,
	TP_PROTO(const char *session, u64 token, u64 ns, int err),
	TP_ARGS(session, token, ns, err),
	TP_STRUCT__entry(
		__string(session, session)
		__field(u64, token)
		__field(u64, ns)
		__field(int, err)
	),
	TP_fast_assign(
		__assign_str(session);
		__entry->token = token;
		__entry->ns = ns;
		__entry->err = err;
	),
	TP_printk("session=%s token=%llu ns=%llu err=%d", __get_str(session),
		  __entry->token, __entry->ns, __entry->err)
);

TRACE_EVENT(handover_fault,
	TP_PROTO(u64 pfn, u64 pages),
	TP_ARGS(pfn, pages),
	TP_STRUCT__entry(
		__field(u64, pfn)
		__field(u64, pages)
	),
	TP_fast_assign(
		__entry->pfn = pfn;
		__entry->pages = pages;
	),
	TP_printk("pfn=%llu pages=%llu", __entry->pfn, __entry->pages)
);

TRACE_EVENT(handover_finish,
	TP_PROTO(const char *session, u64 freed_bytes),
	TP_ARGS(session, freed_bytes),
	TP_STRUCT__entry(
		__string(session, session)
		__field(u64, freed_bytes)
	),
	TP_fast_assign(
		__assign_str(session);
		__entry->freed_bytes = freed_bytes;
	),
	TP_printk("session=%s freed_bytes=%llu", __get_str(session), __entry->freed_bytes)
);

#endif /* HANDOVER_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
