"""The kernel's table of virtual services, and the one door to it.

ipvsadm(8)'s text comes in and becomes a table (table); two tables come in and the changes from one
to the other come out (plan); ipvsadm is the only one that runs the program, and process is how.
naming makes virtual services and real servers of what a user writes.
"""
