"""From the errors of many runs to statistics, pages and figures that fit into a repository."""
