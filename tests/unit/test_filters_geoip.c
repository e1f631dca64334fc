/* Countries and networks, from the databases in data/geoip. data/geoip/make.pl makes them anew,
 * from the root of the tree (Debian: libmaxmind-db-writer-perl). */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/filter_play.h"

#define DATA "tests/unit/data/geoip/"

static struct filter_play *play;
static char folder[4096];

static int setup(void **state)
{
	(void)state;
	assert_non_null(getcwd(folder, sizeof(folder)));
	setenv("PWD", folder, 1); /* where filter_play_configure lets paths start */
	play = filter_play_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	filter_play_free(&play);
	return 0;
}

static const char *look_up(const char *ip)
{
	static const char *const facts[] = {"client.country", "client.asn"};

	assert_true(ip_parse(span_text(ip), &play->view.client.ip));
	return filter_play_measure_all(play, facts, 2);
}

static void test_found(void **state)
{
	(void)state;
	assert_null(filter_play_configure(
		play, "geoip", "database " DATA "country.mmdb asn_database \"" DATA "asn.mmdb\""));
	assert_string_equal(look_up("192.0.2.7"), "DE | 64500");
	assert_string_equal(look_up("198.51.100.7"), "FR | none"); /* where it is registered */
	assert_string_equal(look_up("2001:db8::1"), "JP | none");
	assert_string_equal(look_up("203.0.113.1"), "none | none");
	play->view.client.ip.family = IP_NONE;
	assert_fact(play, "client.country", "none");
}

static void test_not_configured(void **state)
{
	(void)state;
	assert_string_equal(look_up("192.0.2.7"), "failed: no GeoIP database is configured | "
						  "failed: no GeoIP database of networks is "
						  "configured");
}

/* One database in the other's place. */
static void test_exchanged(void **state)
{
	(void)state;
	assert_null(filter_play_configure(
		play, "geoip", "database " DATA "asn.mmdb asn_database " DATA "country.mmdb"));
	assert_string_equal(look_up("192.0.2.7"), "none | none");
}

static void expect_refused(const char *options, const char *text)
{
	struct filters_setup filters_setup = {
		.loop = &play->loop, .log = &play->log, .hostname = "x"};
	struct filters *filters;
	struct err err = {""};

	assert_null(filter_play_configure(play, "geoip", options));
	filter_play_slot(play, "client.country");
	filters_setup.set = play->set;
	filters_setup.slots = play->slots;
	filters_setup.n_slots = play->n_slots;
	filters = filters_open(&filters_setup, &err);
	assert_null(filters);
	if (!strstr(err.text, text))
		fail_msg("expected \"%s\", not \"%s\"", text, err.text);
}

static void test_refused(void **state)
{
	(void)state;
	expect_refused("database /nowhere/x.mmdb", "/nowhere/x.mmdb: No such file or directory");
	expect_refused("database CMakeLists.txt", "CMakeLists.txt: ");
	expect_refused("database " DATA "country.mmdb asn_database /nowhere", "/nowhere");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_found),
		CASE(test_not_configured),
		CASE(test_exchanged),
		CASE(test_refused),
	};

	return cmocka_run_group_tests_name("filters/geoip", tests, NULL, NULL);
}
