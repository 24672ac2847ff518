"""Pages that people edit: written in Markdown, with a history. Deletable."""
