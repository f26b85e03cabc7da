"""Every limit in one place, each with its precedent. Sizes in bytes, times in seconds."""

# Anthropic's own limit for the Messages endpoint (413 request_too_large).
MAX_BODY_BYTES = 32 * 1024 * 1024

# A client's request line and header fields. nginx: large_client_header_buffers, 4 of 8k.
MAX_HEAD_BYTES = 32 * 1024

# Header fields of one request; Apache's LimitRequestFields is 100.
MAX_HEADERS = 100

# How long a client may take for them. Apache's RequestReadTimeout is 20 to 40; nginx's is 60.
HEAD_TIMEOUT = 30.0

# How long a client may leave its answer unread (nginx: send_timeout 60).
WRITE_TIMEOUT = 60.0

# How much of an answer the system may hold that was not sent yet (Linux: TCP_NOTSENT_LOWAT). With
# asyncio's 64 KiB this stays below 512 KiB for a client that does not read.
MAX_UNSENT_BYTES = 128 * 1024

# nginx's client_body_timeout is 60 between two reads; a 32 MiB body at 1 Mbit/s takes 270 in all.
BODY_IDLE_TIMEOUT = 60.0
BODY_TIMEOUT = 300.0

# Up to this many times the limit, a body that is too large is read and thrown away, so that the
# client, which writes first and reads then, sees the answer and not a broken connection.
BODY_DISCARD_FACTOR = 4

# What the framing of a chunked body may weigh for each byte of it, beyond one head's worth: chunks
# of one byte cost five. Node.js bounds chunk extensions likewise (CVE-2024-22019).
MAX_FRAMING = 8

# Deepest nesting of what is passed on as JSON, such as a tool's input: serde_json, with which
# DeepSeek's service reads it, stops at 128. What is passed over may be deeper, up to the
# interpreter's limit of recursion (1,000 calls, our own among them).
MAX_JSON_DEPTH = 128

# Anthropic: "at most 100 000" messages in one request.
MAX_MESSAGES = 100_000

# Bodies above this size are read and translated by a thread, and looked over before they are
# decoded: up to here the worst costs the event loop 10 ms (tools of nothing but a name).
LARGE_BODY = 256 * 1024

# From this size on a smaller body is asked for the number of its parts (messages, blocks, tools),
# and translated by a thread if it has so many: a part takes up to 10 microseconds.
DENSE_BODY = 64 * 1024
DENSE_PARTS = 1_000

# Objects in a smaller body whose unknown blocks are kept, at two microseconds each; if there are
# more, it is refused for the first of them.
MAX_MARKED_OBJECTS = 5_000

# JSON objects in one large request: two for each message of the longest history, and a tenth more.
# What they cost is not their bytes but their number (Jackson's maxTokenCount bounds it likewise).
MAX_OBJECTS = 220_000

# Items of lists and members of objects in it: seven for each such message, and some more.
MAX_VALUES = 750_000

# Of them beside the messages: a thousand tools with a hundred values each.
MAX_SETTINGS_VALUES = 100_000

# Objects in one message of it. A model's largest window, a million tokens, holds fewer blocks.
MAX_MESSAGE_OBJECTS = 50_000

# Backslashes in one of more than 8 MiB, which cost ten times what plain text does. JSON within JSON
# has one in eight bytes.
MAX_ESCAPES = 4_000_000

# Bytes of it that are not within strings: eight for each value, four times what compact JSON takes.
MAX_STRUCTURE_BYTES = 8 * 1024 * 1024

# Claude Code drops a silent stream after 300 s; another gateway's users saw 15 s.
PING_INTERVAL = 10.0

# How long the 200 is held back for the upstream's own status before headers go out.
COMMIT_AFTER = 5.0

# DeepSeek closes a request whose inference has not started within 10 minutes.
FIRST_BYTE_TIMEOUT = 600.0

# Reported stalls in mid-reasoning last for ever; clients notice after 300 s. Be before them.
IDLE_TIMEOUT = 240.0

# How long one of several upstreams may leave all its requests without a word before others are
# asked. A server that does nothing else meanwhile reads a prompt of 128K tokens in less.
SILENCE_AFTER = 30.0

# The official SDKs' connect time-out.
CONNECT_TIMEOUT = 5.0

# The largest single ``data:`` line that is read from an upstream: a whole answer of 384K tokens
# (DeepSeek's largest) is about 2 MB of JSON; image output is not served.
MAX_FRAME_BYTES = 8 * 1024 * 1024

# The largest whole (not streamed) upstream answer.
MAX_ANSWER_BYTES = 32 * 1024 * 1024

# How much of an upstream's error body is read and shown.
MAX_ERROR_BODY_BYTES = 64 * 1024

# How long an error's body may take to arrive once its status is known; what came by then is shown.
ERROR_BODY_TIMEOUT = 5.0

# How long an idle upstream connection is kept. uvicorn, under vLLM and SGLang, closes its side
# after 5 s; api.deepseek.com was reported to half-close kept connections. Be before them.
KEEPALIVE_EXPIRY = 4.0

# How soon after a request a kept connection ends that the server had closed before: a lost segment
# is sent again after 1 s, then after 2 (RFC 6298). One that ends later may have been worked on.
STALE_WITHIN = 3.0

# The largest head (status and headers) that is read from an upstream. curl stops at 300 KiB of
# headers in all, nginx at 4 to 8 KiB, Node's client at 16 KiB.
MAX_UPSTREAM_HEAD_BYTES = 64 * 1024

# How long the bytes after the end of a stream ([DONE]) may take before the connection is dropped.
LINGER_TIMEOUT = 1.0

# Cheap questions to an upstream: its model list, its tokenizer, whether it is there. Claude
# Code gives a gateway's own model list 3 s.
PROBE_TIMEOUT = 2.5

# How long an upstream's model list is believed, and how long its readiness.
MODELS_TTL = 300.0
READINESS_TTL = 5.0

# The largest model list that is read.
MAX_LIST_BYTES = 4 * 1024 * 1024

# Longest signature of a thinking block that is made or read. A reasoning of 64K tokens (DeepSeek's
# default budget in thinking mode) is about 200 kB, a third of that when compressed.
MAX_SIGNATURE_CHARS = 512 * 1024

# Longest reasoning that a signature may unpack to: DeepSeek's largest answer, 384K tokens.
MAX_REASONING_BYTES = 2 * 1024 * 1024

# Longest tool name that DeepSeek takes (its request converter, deepseek-recipe: 128 characters).
MAX_TOOL_NAME_CHARS = 128

# Longest tool call id that is passed on as it is; longer ones are replaced by a digest.
MAX_TOOL_ID_CHARS = 128

# Deepest tool schema: serde_json stops at 128 levels, and the schema stands 5 levels down.
MAX_SCHEMA_DEPTH = 100

# How long a server may take to tokenize a prompt for us; a megabyte takes one about a second.
COUNT_TIMEOUT = 10.0

# How many of Ollama's installed models are asked for their abilities, one request each.
MAX_SHOWN_MODELS = 32

# How much of tool definitions is shown again at later references to the same tools. A Claude Code
# session repeats a handful of schemas of about 2 kB.
MAX_REPEATED_SCHEMA_CHARS = 1024 * 1024

# Anthropic's own limit for one request to a model with a large window (guide "PDF support").
MAX_PDF_PAGES = 600

# PDFium read 600 full pages in 0.7 s and drew 40 of them in a second (one core, 2026).
PDF_TIMEOUT = 30.0

# Python, PDFium and a file of 32 MiB take about 300 MiB of address space.
PDF_MEMORY_BYTES = 1024 * 1024 * 1024
