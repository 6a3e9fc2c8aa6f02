"""Compare our own data: rows against each other, and published records against the outbox.

`rows.py` runs the rules of `db/consistency.py` in slices. `contents.py` compares the contents of records with rows. `topics.py`
compares batches of records with the outbox. All of them only read, and yield differences as they find them.

It may import `db` and below, but no other flow. Start with `rows.py`.
"""
