"""Fuzz the doors: every kind of file that is read, damaged, must load or be refused in a sentence.

    python tests/fuzz --cases 10000 --seed 1

`damage.py` damages, `pictures.py`, `texts.py` and `networks.py` are the doors, `child.py` tries a
run of cases in a process that is watched, `__main__.py` starts those and adds up.
"""
