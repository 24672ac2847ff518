"""What keeps attackers out; nothing here knows a feature."""
