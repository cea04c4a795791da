"""The report page: facts about a project, collected once and rendered as one static file."""
