"""Scripts into stories: plain text, Markdown, Fountain, tables, subtitles and folders of recordings.

No language model reads them: what a script does not say is left to be filled in, and marked.
"""
