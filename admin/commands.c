#include "admin/commands.h"

#define LATER(name, arguments, summary)                                                            \
	{                                                                                          \
		name, arguments, summary, NULL, 0, CLI_WORDS_MAX - 1, {{0}}, NULL                  \
	}

const struct cli_command cli_commands[] = {
	{"run", "", "carry mail: supervisor and workers, in the foreground",
		"SIGHUP reloads, SIGTERM and SIGINT end it (a second one at once), SIGUSR1 opens "
		"the\n"
		"log file anew. Under systemd it speaks Type=notify.",
		0, 0, {{0}}, cli_run},
	{"check", "[FILE.rules...]", "read the configuration and rules and say every mistake",
		"Reads what `run` would read, certificates and their keys, rule files, lists and\n"
		"the tests in rule files included, and changes nothing. Prints for each rule the\n"
		"first stage of a session at which it can be decided. With rule files as "
		"arguments\n"
		"it reads these alone. Warnings leave the exit status at 0; a mistake makes it 3.",
		0, CLI_WORDS_MAX - 1, {{"--json", NULL, "one JSON object, for programs"}},
		cli_check},
	{"test", "[FILE.rules...]", "run the tests that stand in rule files",
		"Without arguments those of the configuration's rules. Exit status 1 when a test\n"
		"fails.",
		0, CLI_WORDS_MAX - 1, {{"-v", NULL, "name each test, and the rule that decided"}},
		cli_test},
	{"explain", "[MESSAGE.eml]", "one session, offline: every fact, every rule, the verdict",
		"The filters measure as they would for this client, over the real DNS; nothing is\n"
		"sent anywhere. Without MESSAGE it ends behind RCPT. Exit status 0 if the rules "
		"take\n"
		"it, or may still do so, 1 if not.",
		0, 1,
		{{"--ip", "A", "the client's address"}, {"--helo", "H", "what it says in EHLO"},
			{"--from", "S", "the sender; \"\" is the null one"},
			{"--to", "R", "a recipient; may be given several times"},
			{"--fact", "F=V", "a fact as it shall be; several times"},
			{"--rules", "FILE", "these rules, not the configuration's; several times"},
			{"--no-dns", NULL, "ask no DNS: what needs it is unknown, or temperror"},
			{"--json", NULL, "one JSON object, for programs"}},
		cli_explain},
	LATER("trace", "ID | --ip A | --from S | --to R | --since 2h",
		"look a session up in the history"),
	LATER("replay", "--rules DIR [--since 1d]", "run other rules over the recorded sessions"),
	{"fmt", "[FILE.rules...]", "rules in their one canonical layout",
		"Only white space changes; comments stay where they are. Files are rewritten in\n"
		"place if they differ. Without files standard input is laid out on standard "
		"output.\n"
		"A file that can't be taken apart is left alone, and the exit status is 3.",
		0, CLI_WORDS_MAX - 1,
		{{"--check", NULL, "change nothing; exit status 1 if a file would change"}},
		cli_fmt},
	{"status", "", "processes, sessions and what each waits for, backends, totals",
		"Needs only the control socket of the configuration, so a mistake elsewhere in it "
		"does\n"
		"not matter.",
		0, 0,
		{{"--json", NULL, "one JSON object, for programs"},
			{"--sessions", "N",
				"list so many sessions of each worker, the oldest first (20)"}},
		cli_status},
	LATER("top", "", "status, live"),
	{"reload", "", "read the configuration again without losing a session",
		"New workers with the new configuration take the listeners over; the old ones "
		"finish their\n"
		"sessions. With a mistake nothing changes, all mistakes are printed, and the exit "
		"status\n"
		"is 3. Without --wait it returns as soon as the new workers serve.",
		0, 0,
		{{"--wait", NULL, "return when the sessions of the old configuration have ended"},
			{"--timeout", "TIME", "wait so long at most (5m), then exit with 5"}},
		cli_reload},
	{"drain", "", "finish the messages under way, then end",
		"Sessions outside a message get 421 at once, the others when theirs is through. "
		"Returns when\n"
		"all is done and the daemon ends.",
		0, 0,
		{{"--timeout", "TIME",
			"wait so long at most (65m), then exit with 5; it goes on draining"}},
		cli_drain},
	{"version", "", "this program's version, and the daemon's if it differs", NULL, 0, 0, {{0}},
		cli_version},
	{"dmarc-report", "", "a DMARC aggregate report",
		"Without --domain it lists the domains of a day (UTC) whose mail was seen. With\n"
		"it, it writes the report that RFC 9990 describes (XML, gzip) into the current\n"
		"folder, under the name that it must be sent as, and says which addresses want\n"
		"it: those of other organizations only if their DNS says that they take it. It\n"
		"sends nothing. Exit status 1: there are no results for that domain; 4: postern\n"
		"is not running; 5: the report is written, and DNS did not tell of every address\n"
		"whether it may go there.",
		0, 0,
		{{"--domain", "D", "the domain whose DMARC record was found"},
			{"--day", "DAY", "2026-11-24, yesterday or today; always needed"},
			{"--output", "FILE", "write it there; - is standard output"},
			{"--org-name", "NAME", "who reports (the host name)"},
			{"--email", "ADDRESS", "whom to ask about it (postmaster@ the host name)"},
			{"--no-dns", NULL, "do not verify the addresses"},
			{"--json", NULL, "JSON, for programs"}},
		cli_dmarc_report},
	{"config", "show | doc [KEY | facts | language | filters]",
		"the configuration in force, or what a key means",
		"show prints the configuration with every default filled in, in a form that reads "
		"back to\n"
		"the same; show --changed only what differs from the defaults. doc explains a key "
		"such as\n"
		"limits.message, and lists all keys when none is named; doc facts lists what rules "
		"can\n"
		"speak of, doc language their actions, operators and texts, doc filters what "
		"`filter`\n"
		"blocks take; with -c also of filters that FILE loads.",
		1, 2,
		{{"--changed", NULL, "show: only what differs from the defaults"},
			{"--json", NULL, "doc facts: JSON, for programs"}},
		cli_config},
	{"list",
		"ls | show L | add L ITEM... | del L ITEM... | search [L] ITEM | import L FILE | "
		"export L | protect ITEM...",
		"lists that rules look things up in",
		"Lists of the store (`from store` in rules); a change is in force within a "
		"second. search says\n"
		"which items of which lists cover ITEM. import reads plain lists, Spamhaus DROP, "
		"CSV, hosts\n"
		"files and JSON, from standard input if FILE is -; lines that are none are told, "
		"the others\n"
		"go in. export writes what import reads. protect names what no list may ever hold, "
		"by hand or\n"
		"by a rule, besides what the configuration names; `del protected ITEM` ends that. "
		"Exit status\n"
		"1: not there, or refused; 4: postern is not running; 5: some of it.",
		1, CLI_WORDS_MAX - 1,
		{{"--ttl", "TIME", "take it off again after that (7d)"},
			{"--reason", "TEXT", "why; replies may say it: {list.reason}"},
			{"--by", "NAME", "who says so (the account)"},
			{"--type", "TYPE", "of a list that no rule reads yet"},
			{"--dry-run", NULL, "change nothing, say what would change"},
			{"--json", NULL, "JSON, for programs"}},
		cli_list},
	{"greylist", "ls | allow CLIENT FROM TO | clear CLIENT FROM TO",
		"who is put off by greylisting, and who is known",
		"ls lists all, by CLIENT, which is a network (192.0.2.0/24; an address stands for "
		"its own), or\n"
		"the domain for which SPF has passed. FROM is the sender (\"<>\": the null one), "
		"TO "
		"the\n"
		"recipient. allow makes one known without waiting, clear forgets it.",
		1, 4,
		{{"--ttl", "TIME", "allow: known for so long after the last message (36d)"},
			{"--json", NULL, "ls: JSON, for programs"}},
		cli_greylist},
	{"reputation", "show ITEM | reset ITEM", "what is known of a client or sender",
		"ITEM is an address or network of a client, an AS such as AS64500, or a domain (or "
		"an\n"
		"address of it) that SPF or DMARC has proved to be the sender's. show tells how "
		"often it was\n"
		"good, bad, or sent to a trap, as far as that still counts: it halves each week. "
		"reset\n"
		"forgets it.",
		2, 2, {{"--json", NULL, "show: JSON, for programs"}}, cli_reputation},
	{"quarantine", "ls | show ID | release ID... | delete ID...", "messages held back",
		"ls lists them, the newest last. show prints what is known of one, and the "
		"message. release\n"
		"hands messages to the backend, which sees the client that brought them, and "
		"deletes each once\n"
		"the backend has taken it; otherwise it stays. delete deletes. All work on the "
		"quarantine's\n"
		"folder, without the daemon; only release needs a configuration without mistakes.",
		1, CLI_WORDS_MAX - 1,
		{{"--json", NULL, "ls, show: JSON, for programs"},
			{"--raw", NULL, "show: the message alone, byte for byte"},
			{"--to", "ADDRESS", "release: to this recipient instead"},
			{"--keep", NULL, "release: leave it in the quarantine"},
			{"--older", "TIME", "delete: all that lie there longer (7d)"}},
		cli_quarantine},
	{"help", "[COMMAND]", "this list, or a command's own help", NULL, 0, 1, {{0}}, cli_help},
	{"worker", "", NULL, NULL, 0, 0, {{0}}, cli_worker},
	{"keeper", "", NULL, NULL, 0, 0, {{0}}, cli_keeper},
	{"authn", "", NULL, NULL, 0, 0, {{0}}, cli_authn},
	{0},
};
