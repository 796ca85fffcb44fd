"""Everything that is written for people: walkthrough, schema, plan text, estimate, drafts of scenarios."""
