"""From rankings to numbers: recalls, intervals, tests and tidy tables."""
