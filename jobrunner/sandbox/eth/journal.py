"""The chain on disk: the EVM's nodes, the blocks, and all transactions, mined or pending.

A block is written in one transaction, so a killed sandbox goes on from the last whole one. What clients poll is
read from here and needs no EVM.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from jobrunner.sandbox.eth.block import Block, Mined
from jobrunner.sandbox.eth.transaction import Transaction

SCHEMAS: Final = (
    "CREATE TABLE IF NOT EXISTS eth_nodes (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE IF NOT EXISTS eth_blocks (
        number INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, shown TEXT NOT NULL, next_base_fee INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS eth_transactions (
        seq INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, raw BLOB NOT NULL, shown TEXT NOT NULL,
        fate TEXT NOT NULL, ready_at REAL NOT NULL, number INTEGER, receipt TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS eth_transactions_by_block ON eth_transactions (number)",
)
"""A transaction without `number` is pending; `shown` says which block it is in, once it is in one."""


def nodes(database: Path) -> dict[bytes, bytes]:
    """From the file, so that a thread may read them."""
    with sqlite3.connect(database) as db:
        return dict(db.execute("SELECT key, value FROM eth_nodes"))


def head(db: sqlite3.Connection) -> Block | None:
    return _block(db, "TRUE ORDER BY number DESC LIMIT 1")


def block(db: sqlite3.Connection, number: int) -> Block | None:
    return _block(db, "number = ?", number)


def block_of(db: sqlite3.Connection, block_hash: str) -> Block | None:
    return _block(db, "hash = ?", block_hash)


def _block(db: sqlite3.Connection, wanted: str, *values: object) -> Block | None:
    row = db.execute(f"SELECT shown, next_base_fee FROM eth_blocks WHERE {wanted}", values).fetchone()
    return None if row is None else Block(orjson.loads(row[0]), row[1])


def append(db: sqlite3.Connection, mined: Mined) -> None:
    block = mined.block
    db.executemany("INSERT OR REPLACE INTO eth_nodes VALUES (?, ?)", mined.nodes.items())
    db.execute(
        "INSERT INTO eth_blocks VALUES (?, ?, ?, ?)",
        (block.number, block.hash, orjson.dumps(block.shown).decode(), block.next_base_fee),
    )
    for shown, receipt in zip(mined.transactions, mined.receipts, strict=True):
        db.execute(
            "UPDATE eth_transactions SET number = ?, shown = ?, receipt = ? WHERE hash = ?",
            (block.number, orjson.dumps(shown).decode(), orjson.dumps(receipt).decode(), shown["hash"]),
        )


def unwind(db: sqlite3.Connection, block: Block) -> None:
    """Take back the newest block: its transactions are pending again, and whatever was wrong with them is over."""
    db.execute("DELETE FROM eth_blocks WHERE number = ?", (block.number,))
    db.execute(
        "UPDATE eth_transactions SET number = NULL, receipt = NULL, fate = '', shown = json_set("
        "shown, '$.blockHash', NULL, '$.blockNumber', NULL, '$.transactionIndex', NULL) WHERE number = ?",
        (block.number,),
    )


def is_doomed(db: sqlite3.Connection, block: Block) -> bool:
    """Whether it holds a transaction that came with the word reorg."""
    wanted = "SELECT 1 FROM eth_transactions WHERE number = ? AND fate = 'reorg'"
    return db.execute(wanted, (block.number,)).fetchone() is not None


def add(db: sqlite3.Connection, transaction: Transaction) -> None:
    db.execute(
        "INSERT INTO eth_transactions (hash, raw, shown, fate, ready_at) VALUES (?, ?, ?, ?, ?)",
        (
            transaction.hash,
            transaction.raw,
            orjson.dumps(transaction.shown).decode(),
            transaction.fate,
            transaction.ready_at,
        ),
    )


def remove(db: sqlite3.Connection, hashes: Iterable[str]) -> None:
    """From the pool. What a block holds stays."""
    db.executemany("DELETE FROM eth_transactions WHERE hash = ? AND number IS NULL", ((each,) for each in hashes))


def pending(db: sqlite3.Connection, sender: str | None = None) -> list[Transaction]:
    """The whole pool in the order of arrival, or only what one account sent."""
    rows = db.execute(
        "SELECT raw, shown, fate, ready_at FROM eth_transactions"
        " WHERE number IS NULL AND (?1 IS NULL OR lower(shown ->> '$.from') = lower(?1)) ORDER BY seq",
        (sender,),
    )
    return [Transaction(raw, orjson.loads(shown), fate=fate, ready_at=ready_at) for raw, shown, fate, ready_at in rows]


def transaction(db: sqlite3.Connection, transaction_hash: str) -> Mapping[str, Any] | None:
    """As JSON-RPC shows it."""
    row = db.execute("SELECT shown FROM eth_transactions WHERE hash = ?", (transaction_hash,)).fetchone()
    return None if row is None else dict(orjson.loads(row[0]))


def receipt(db: sqlite3.Connection, transaction_hash: str) -> Mapping[str, Any] | None:
    """None also while it is pending."""
    wanted = "SELECT receipt FROM eth_transactions WHERE hash = ? AND number IS NOT NULL"
    row = db.execute(wanted, (transaction_hash,)).fetchone()
    return None if row is None else dict(orjson.loads(row[0]))


def receipts(db: sqlite3.Connection, first: int, last: int) -> list[Mapping[str, Any]]:
    """Of all transactions in the blocks from `first` to `last`, in their order."""
    wanted = "SELECT receipt FROM eth_transactions WHERE number BETWEEN ? AND ?"
    found = [orjson.loads(text) for (text,) in db.execute(wanted, (first, last))]
    return sorted(found, key=lambda each: (int(each["blockNumber"], 16), int(each["transactionIndex"], 16)))
