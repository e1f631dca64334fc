/* client: what is known the moment a connection is there, without asking anybody. */
#include <time.h>

#include "filters/filter.h"

enum { CLIENT_IP, CLIENT_PORT, LISTENER, TIME_HOUR, TIME_WEEKDAY };

static const struct fact_choice weekdays[] = {
	{"mon", "monday 1"},
	{"tue", "tuesday 2"},
	{"wed", "wednesday 3"},
	{"thu", "thursday 4"},
	{"fri", "friday 5"},
	{"sat", "saturday 6"},
	{"sun", "sunday 7"},
	{NULL, NULL},
};

static const struct fact facts[] = {
	[CLIENT_IP] = {"client.ip", TYPE_IP, STAGE_CONNECT, 0, NULL, "the client's address"},
	[CLIENT_PORT] = {"client.port", TYPE_NUMBER, STAGE_CONNECT, 0, NULL, "the client's port"},
	[LISTENER] = {"listener", TYPE_TEXT, STAGE_CONNECT, 0, NULL,
		"the listener that the client came to, as `listen` names it"},
	[TIME_HOUR] = {"time.hour", TYPE_NUMBER, STAGE_CONNECT, 0, NULL,
		"the hour at which the session began, 0 to 23, in local time"},
	[TIME_WEEKDAY] = {"time.weekday", TYPE_CHOICE, STAGE_CONNECT, FACT_ORDERED, weekdays,
		"the day on which the session began, in local time"},
	{.name = NULL},
};

static enum call_status run(struct call *call)
{
	const struct filter_view *view = call_view(call);
	time_t seconds = (time_t)(view->wall_ms / 1000);
	struct tm local;

	if (view->client.ip.family != IP_NONE) {
		call_add_ip(call, CLIENT_IP, &view->client.ip);
		call_add_number(call, CLIENT_PORT, view->client.port);
	}
	call_add_text(call, LISTENER, span_text(view->listener));
	if (localtime_r(&seconds, &local)) {
		call_add_number(call, TIME_HOUR, local.tm_hour);
		call_add_choice(call, TIME_WEEKDAY, (unsigned)(local.tm_wday + 6) % 7);
	}
	return CALL_DONE;
}

const struct filter filter_client = {
	.version = FILTER_VERSION, .name = "client", .facts = facts, .run = run};
