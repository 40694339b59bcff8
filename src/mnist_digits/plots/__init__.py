"""Every figure (matplotlib); those of data, trainings and results by their names."""

from .run_plots import accuracy_against_time as accuracy_against_time
from .run_plots import augmentation_preview as augmentation_preview
from .run_plots import calibration as calibration
from .run_plots import class_balance as class_balance
from .run_plots import comparison as comparison
from .run_plots import confusion_matrix as confusion_matrix
from .run_plots import loss_curve as loss_curve
from .run_plots import mean_images as mean_images
from .run_plots import pixel_values as pixel_values
from .run_plots import sample_digits as sample_digits
from .run_plots import sample_predictions as sample_predictions
from .run_plots import save_figure as save_figure
from .run_plots import suspected_labels as suspected_labels
from .run_plots import training_curves as training_curves
from .run_plots import worst_mistakes as worst_mistakes
