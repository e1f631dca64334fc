/*
 * trial: filters of tests' own, with results for the header, played through DNS. They take the
 * place of the program's filters that have such facts, so that what those measure is no business of
 * tests that speak of headers.
 *
 *     trial    at MAIL asks for TXT of _trial.DOMAIN of the sender. Each record is
 *                  A:RESINFO     a result for Authentication-Results
 *                  T:FIELD       a trace field
 *                  V:WORD        the value of the fact `trial`
 *              trial, trial.authres, trial.trace; trial.other hangs on nothing
 *     weigh    counts the message as it comes, after `trial`: weigh.size, and the result
 *              "weigh=pass body.size=N policy.trial=WORD"
 */
#ifndef TESTS_UNIT_TRIAL_H
#define TESTS_UNIT_TRIAL_H

#include "filters/pipeline.h"

/* As filter_set_new, with these. */
struct filter_set *trial_filter_set(const struct filter_given *given, size_t n, struct err *err);

#endif
