"""The churn agent's pages in the console. They read the scores and call what a lead may change; they hold no rule."""
