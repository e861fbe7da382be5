"""The entry point of the command ``mmdet-kpheads``: arguments and help, without the seconds that torch takes to import.

It is a package of its own because importing any module of ``mmdet_kpheads`` imports mmdet first.
"""
