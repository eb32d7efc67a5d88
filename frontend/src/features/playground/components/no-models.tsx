import { Boxes } from "lucide-react";
import Link from "next/link";
import { EmptyState } from "@/components/app/empty-state";
import { Page } from "@/components/app/page";
import { Button } from "@/components/ui/button";

export function NoModels() {
  return (
    <Page>
      <EmptyState
        icon={Boxes}
        title="No model is served yet"
        description="Download one that fits this machine; it appears here as soon as it is there."
        action={
          <Button asChild>
            <Link href="/discover">Discover models</Link>
          </Button>
        }
      />
    </Page>
  );
}
