#include "lib/store/redis_scripts.h"

#define LOG_MAX  "100000"     /* changes that a list's stream keeps, about */
#define REP_KEPT "6048000000" /* ms: ten half-lives, a thousandth is left */

#define NOW                                                                                        \
	"local t = redis.call('TIME')\n"                                                           \
	"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

/* -> "", "waiting AGE_MS TRIES", "known AGE_MS" */
#define GREY_LOOK_TEXT                                                                             \
	NOW "local v = redis.call('HMGET', KEYS[1], 'first', 'tries', 'known')\n"                  \
	    "if v[3] then return 'known ' .. math.max(0, now - v[3]) end\n"                        \
	    "if v[1] then return 'waiting ' .. math.max(0, now - v[1]) .. ' ' .. v[2] end\n"       \
	    "return ''\n"

/* key, window_ms. The window is the first attempt's: another does not prolong it. */
#define GREY_TRIED_TEXT                                                                            \
	NOW "local v = redis.call('HMGET', KEYS[1], 'first', 'known')\n"                           \
	    "if v[2] then return '' end\n"                                                         \
	    "if v[1] then redis.call('HINCRBY', KEYS[1], 'tries', 1) return '' end\n"              \
	    "redis.call('HSET', KEYS[1], 'key', ARGV[1], 'first', now, 'tries', 1)\n"              \
	    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"                                            \
	    "return ''\n"

/* key, known_ms. What a full Redis refuses comes first: it refuses none behind another change. */
#define GREY_PASSED_TEXT                                                                           \
	NOW "redis.call('HSET', KEYS[1], 'key', ARGV[1], 'known', now)\n"                          \
	    "redis.call('HDEL', KEYS[1], 'first', 'tries')\n"                                      \
	    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"                                            \
	    "return ''\n"

/* cursor, limit, what stands before the next cursor, what is the next one after the last
 * -> JSON {items, more, next}. A step looks at so many keys of the database and no more, whoever's
 * they are: nobody else is served meanwhile. */
#define GREY_SCAN_TEXT                                                                             \
	NOW "local found, cursor = {}, ARGV[1]\n"                                                  \
	    "for round = 1, 20 do\n"                                                               \
	    "  local step = redis.call('SCAN', cursor, 'MATCH', 'postern:grey:*', 'COUNT', 200)\n" \
	    "  cursor = step[1]\n"                                                                 \
	    "  for _, key in ipairs(step[2]) do\n"                                                 \
	    "    local v = redis.call('HMGET', key, 'key', 'first', 'tries', 'known')\n"           \
	    "    local left = redis.call('PTTL', key)\n"                                           \
	    "    local since = v[4] or v[2]\n"                                                     \
	    "    if v[1] and since then\n"                                                         \
	    "      found[#found + 1] = cjson.encode({key = v[1],\n"                                \
	    "        state = v[4] and 'known' or 'waiting', since = math.floor(since / 1000),\n"   \
	    "        ['until'] = math.floor((now + left) / 1000), tries = tonumber(v[3]) or 0})\n" \
	    "    end\n"                                                                            \
	    "  end\n"                                                                              \
	    "  if cursor == '0' or #found >= tonumber(ARGV[2]) then break end\n"                   \
	    "end\n"                                                                                \
	    "cursor = cursor == '0' and ARGV[4] or ARGV[3] .. cursor\n"                            \
	    "return '{\"items\":[' .. table.concat(found, ',') .. '],\"more\":' ..\n"              \
	    "  tostring(cursor ~= '') .. ',\"next\":\"' .. cursor .. '\"}'\n"

/* The buckets as they are at this moment. */
#define BUCKETS                                                                                    \
	NOW "local w = tonumber(ARGV[2])\n"                                                        \
	    "if not w or w < 1 then return redis.error_reply('ERR no window') end\n"               \
	    "local slot = math.floor(now / w)\n"                                                   \
	    "local v = redis.call('HMGET', KEYS[1], 'slot', 'n', 'before')\n"                      \
	    "local kept, n, before = tonumber(v[1]), 0, 0\n"                                       \
	    "if kept == slot then n = tonumber(v[2]) before = tonumber(v[3])\n"                    \
	    "elseif kept == slot - 1 then before = tonumber(v[2]) end\n"

/* key, window_ms -> a number: of the bucket before, as much as still lies in the window */
#define RATE_LOOK_TEXT BUCKETS "return string.format('%.3f', n + before * (1 - (now % w) / w))\n"

/* key, window_ms, n */
#define RATE_CHARGE_TEXT                                                                           \
	BUCKETS "local more = tonumber(ARGV[3])\n"                                                 \
		"if not more then return redis.error_reply('ERR no number') end\n"                 \
		"redis.call('HSET', KEYS[1], 'key', ARGV[1], 'slot', slot, 'n', n + more,\n"       \
		"  'before', before)\n"                                                            \
		"redis.call('PEXPIRE', KEYS[1], 2 * w)\n"                                          \
		"return ''\n"

/* Numbers as they have decayed. */
#define REPUTATION                                                                                 \
	NOW "local v = redis.call('HMGET', KEYS[1], 'good', 'bad', 'traps', 'at', 'first')\n"      \
	    "local f = v[4] and 0.5 ^ (math.max(0, now - v[4]) / 604800000) or 0\n"                \
	    "local good = (tonumber(v[1]) or 0) * f\n"                                             \
	    "local bad = (tonumber(v[2]) or 0) * f\n"                                              \
	    "local traps = (tonumber(v[3]) or 0) * f\n"

/* -> "GOOD BAD TRAPS" */
#define REP_LOOK_TEXT REPUTATION "return string.format('%.4f %.4f %.4f', good, bad, traps)\n"

/* key, good, bad, traps: to be added */
#define REP_ADD_TEXT                                                                               \
	REPUTATION                                                                                 \
	"local g, b, r = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"                \
	"if not (g and b and r) then return redis.error_reply('ERR no number') end\n"              \
	"redis.call('HSET', KEYS[1], 'key', ARGV[1], 'good', string.format('%.6f', good + g),\n"   \
	"  'bad', string.format('%.6f', bad + b), 'traps', string.format('%.6f', traps + r),\n"    \
	"  'at', now)\n"                                                                           \
	"redis.call('HSETNX', KEYS[1], 'first', now)\n"                                            \
	"redis.call('PEXPIRE', KEYS[1], " REP_KEPT ")\n"                                           \
	"return ''\n"

/* key -> JSON; "": nothing is known */
#define REP_SHOW_TEXT                                                                              \
	REPUTATION                                                                                 \
	"if not v[4] then return '' end\n"                                                         \
	"return cjson.encode({key = ARGV[1], good = good, bad = bad, traps = traps,\n"             \
	"  first = math.floor((v[5] or v[4]) / 1000), last = math.floor(v[4] / 1000)})\n"

/* -> "1": it was there; "0" */
#define FORGET_TEXT "return tostring(redis.call('DEL', KEYS[1]))\n"

/* A change goes into the log with what lets a reader see that it has missed none. */
#define LOG                                                                                        \
	"local info, last = redis.pcall('XINFO', 'STREAM', KEYS[2]), '0-0'\n"                      \
	"for i = 1, #info, 2 do\n"                                                                 \
	"  if info[i] == 'last-generated-id' then last = info[i + 1] end\n"                        \
	"end\n"                                                                                    \
	"local function log(op, item, value)\n"                                                    \
	"  last = redis.call('XADD', KEYS[2], 'MAXLEN', '~', " LOG_MAX ", '*', 'op', op,\n"        \
	"    'item', item, 'value', value, 'after', last, 'n', redis.call('HLEN', KEYS[1]))\n"     \
	"end\n"

/* by, then of each item: field, as written ("": the same), reason, expires_s (0: for good)
 * -> "ADDED CHANGED SAME" */
#define LIST_ADD_TEXT                                                                              \
	LOG "local at = tonumber(redis.call('TIME')[1])\n"                                         \
	    "local added, changed, same = 0, 0, 0\n"                                               \
	    "local function text(s) if s ~= '' then return s end end\n"                            \
	    "for i = 2, #ARGV, 4 do\n"                                                             \
	    "  local expires = tonumber(ARGV[i + 3])\n"                                            \
	    "  if not expires or expires <= 0 then expires = nil end\n"                            \
	    "  local v = {at = at, by = text(ARGV[1]), item = text(ARGV[i + 1]),\n"                \
	    "    reason = text(ARGV[i + 2]), expires = expires}\n"                                 \
	    "  local old = redis.call('HGET', KEYS[1], ARGV[i])\n"                                 \
	    "  local ok, o = pcall(cjson.decode, old or '')\n"                                     \
	    "  if ok and type(o) == 'table' and o.reason == v.reason and\n"                        \
	    "    o.expires == v.expires and o.item == v.item then\n"                               \
	    "    same = same + 1\n"                                                                \
	    "  else\n"                                                                             \
	    "    local value = cjson.encode(v)\n"                                                  \
	    "    redis.call('HSET', KEYS[1], ARGV[i], value)\n"                                    \
	    "    log('add', ARGV[i], value)\n"                                                     \
	    "    if old then changed = changed + 1 else added = added + 1 end\n"                   \
	    "  end\n"                                                                              \
	    "end\n"                                                                                \
	    "return added .. ' ' .. changed .. ' ' .. same\n"

/* field; the value that it is to have still ("": any) -> "1": it was there; "0" */
#define LIST_DEL_TEXT                                                                              \
	"if ARGV[2] ~= '' and redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return '0' "    \
	"end\n" LOG "if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return '0' end\n"           \
	"log('del', ARGV[1], '')\n"                                                                \
	"return '1'\n"

/* A value that is no JSON is a reason. */
#define SHOWN                                                                                      \
	"local found = {}\n"                                                                       \
	"local function show(field, value)\n"                                                      \
	"  local ok, v = pcall(cjson.decode, value)\n"                                             \
	"  if not ok or type(v) ~= 'table' then v = {reason = value} end\n"                        \
	"  found[#found + 1] = cjson.encode({item = v.item or field, reason = v.reason or '',\n"   \
	"    by = v.by or '', at = v.at or 0, expires = v.expires or 0})\n"                        \
	"end\n"

/* cursor, limit -> the next cursor ("": that was all), JSON of the items */
#define LIST_SHOW_TEXT                                                                             \
	SHOWN "local step = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])\n"             \
	      "for i = 1, #step[2], 2 do show(step[2][i], step[2][i + 1]) end\n"                   \
	      "return {step[1] == '0' and '' or step[1], table.concat(found, ',')}\n"

/* fields -> "", JSON of those that are there */
#define LIST_FIND_TEXT                                                                             \
	SHOWN "for i = 1, #ARGV do\n"                                                              \
	      "  local value = redis.call('HGET', KEYS[1], ARGV[i])\n"                             \
	      "  if value then show(ARGV[i], value) end\n"                                         \
	      "end\n"                                                                              \
	      "return {'', table.concat(found, ',')}\n"

/* id of the last change that is known, limit -> id of the last one that was made, how many items
 * there are, and of each change since: id, op, item, value, after, n */
#define LIST_NEWS_TEXT                                                                             \
	"local info, last = redis.pcall('XINFO', 'STREAM', KEYS[2]), '0-0'\n"                      \
	"for i = 1, #info, 2 do\n"                                                                 \
	"  if info[i] == 'last-generated-id' then last = info[i + 1] end\n"                        \
	"end\n"                                                                                    \
	"local out = {last, tostring(redis.call('HLEN', KEYS[1]))}\n"                              \
	"local news = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[2], ARGV[1])\n"        \
	"for _, entry in ipairs(news and news[1][2] or {}) do\n"                                   \
	"  local f = {}\n"                                                                         \
	"  for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end\n"                      \
	"  out[#out + 1] = entry[1]\n"                                                             \
	"  for _, name in ipairs({'op', 'item', 'value', 'after', 'n'}) do\n"                      \
	"    out[#out + 1] = f[name] or ''\n"                                                      \
	"  end\n"                                                                                  \
	"end\n"                                                                                    \
	"return out\n"

const char *redis_script_text(enum redis_script script)
{
	static const char *const texts[SCRIPT_COUNT] = {
#define X(name) [SCRIPT_##name] = name##_TEXT,
		REDIS_SCRIPTS(X)
#undef X
	};

	return texts[script];
}
