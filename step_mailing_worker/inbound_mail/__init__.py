"""Judges incoming mails: what kind of mail it is, which send it concerns, and what it says.

reading        the parts and the decoded texts of any bytes
own_text       what the sender wrote: without quotes, signature and greeting
automatic      whether a program wrote the mail, and whether it says that somebody is away or has left
absence        the last date of an absence
opt_out        whether the sender asks for no more mail
returned_mail  reports of mail servers: what they say of the recipient
verdict        the judgement of one mail, from all of these

The lists of the world (subjects, phrases, headers, charsets) are data files with their sources. No module
reads a database.
"""
