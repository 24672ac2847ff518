"""Compose mail, and deliver it by SMTP or into the development mailbox."""
