"use client";

import { useQueryClient } from "@tanstack/react-query";
import { useTheme } from "next-themes";
import { ConfirmDialog } from "@/components/app/confirm-dialog";
import { toastSuccess } from "@/components/app/toasts";
import { settings } from "@/lib/storage/settings";

export function ResetDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const { setTheme } = useTheme();
  return (
    <ConfirmDialog
      open
      onOpenChange={(open) => !open && onClose()}
      title="Reset your settings?"
      action="Reset"
      onConfirm={() => {
        settings.reset();
        setTheme("system");
        void client.resetQueries();
        toastSuccess("Settings reset");
      }}
    >
      Addresses, API key, theme and playground defaults of this browser go back to what they were at first. Conversations,
      models and data stay.
    </ConfirmDialog>
  );
}
