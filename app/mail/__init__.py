"""Composing mail, and delivering it by SMTP or into the development mailbox."""
