/*
 * trial: filters of tests' own, with results for the header, played through the zone of a
 * conversation (`with filters trial`). They take the place of the program's filters that have such
 * facts, so that what those measure is no business of these conversations.
 *
 *     trial    at MAIL asks for TXT of _trial.DOMAIN of the sender. Each record is
 *                  A:RESINFO     a result for Authentication-Results
 *                  T:FIELD       a trace field
 *                  V:WORD        the value of the fact `trial`
 *              trial, trial.authres, trial.trace; trial.other hangs on nothing
 *     weigh    counts the message as it comes, after `trial`: weigh.size, and the result
 *              "weigh=pass body.size=N policy.trial=WORD"
 */
#ifndef TALK_TRIAL_H
#define TALK_TRIAL_H

#include "filters/filter.h"

enum { TRIAL_FILTERS = 2 };
extern const struct filter *const trial_filters[TRIAL_FILTERS];

#endif
