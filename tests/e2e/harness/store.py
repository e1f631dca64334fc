"""The embedded store's file, as an admin sees it with sqlite3 beside a running postern."""

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timezone


def today():
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


class Store:
    """postern.db in the state folder of a Postern."""

    def __init__(self, postern):
        self.file = postern.directory / "state" / "postern.db"

    def ask(self, sql, *values):
        with closing(sqlite3.connect(self.file, timeout=10)) as db, db:
            return db.execute(sql, values).fetchall()

    def is_sound(self):
        return self.ask("PRAGMA integrity_check") == [("ok",)]

    def version(self):
        return self.ask("PRAGMA user_version")[0][0]

    def damage(self):
        """What no database begins with, and no log beside it that has those pages too."""
        for end in ("-wal", "-shm"):
            self.file.with_name(self.file.name + end).unlink(missing_ok=True)
        with open(self.file, "r+b") as f:
            f.write(b"\xa5" * 4096)

    def add_dmarc(self, domain, record, rows, day=None, left_out=0):
        """Results of DMARC; rows: (count, {...} as lib/store/dmarc_results.c writes it)."""
        day = day or today()
        messages = sum(count for count, _ in rows) + left_out
        with closing(sqlite3.connect(self.file, timeout=10)) as db, db:
            db.execute("INSERT OR IGNORE INTO dmarc_days(day) VALUES (?)", (day,))
            cursor = db.execute("INSERT INTO dmarc_domains(day, domain, record, messages, rows, left_out, first, last) "
                                "VALUES (?, ?, ?, ?, ?, ?, 0, 0)", (day, domain, record, messages, len(rows), left_out))
            db.executemany("INSERT INTO dmarc_rows(domain, row, count) VALUES (?, ?, ?)",
                           [(cursor.lastrowid, json.dumps(row, separators=(",", ":")), count) for count, row in rows])

    def dmarc_messages(self, domain, day=None):
        found = self.ask("SELECT messages FROM dmarc_domains WHERE day = ? AND domain = ?", day or today(), domain)
        return found[0][0] if found else 0

    def dmarc_rows(self, domain, day=None):
        """[(count, row)], the most frequent first."""
        found = self.ask("SELECT r.count, r.row FROM dmarc_rows r JOIN dmarc_domains d ON r.domain = d.id "
                         "WHERE d.day = ? AND d.domain = ? ORDER BY r.count DESC, r.row", day or today(), domain)
        return [(count, json.loads(row)) for count, row in found]
