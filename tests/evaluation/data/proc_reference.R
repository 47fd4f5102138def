# AUC and DeLong interval of every set in scores.csv by pROC; writes proc_reference.csv.
# Rscript proc_reference.R   (Debian: r-cran-proc)
suppressMessages(library(pROC))
sets <- read.csv("scores.csv")
rows <- lapply(unique(sets$set), function(name) {
  one <- sets[sets$set == name, ]
  curve <- roc(one$label, one$score, levels = c(0, 1), direction = "<", quiet = TRUE)
  interval <- ci.auc(curve, method = "delong")
  data.frame(
    set = name,
    auc = sprintf("%.17g", interval[2]),
    low = sprintf("%.17g", interval[1]),
    high = sprintf("%.17g", interval[3])
  )
})
write.csv(do.call(rbind, rows), "proc_reference.csv", row.names = FALSE, quote = FALSE)
cat("pROC", as.character(packageVersion("pROC")), "\n")
