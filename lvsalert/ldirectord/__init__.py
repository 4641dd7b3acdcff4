"""ldirectord's file: text comes in; services, servers, checks and what mon is to watch come out.

sections, directives, readers and servers read the text as ldirectord 4.12 reads it, and config is
what they come to. file finds a file and looks its names up; watches and monitors say how mon checks
each service, and mon_cf is the mon.cf made of it.
"""
